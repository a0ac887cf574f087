"""Numbers are read of whatever scripts write, at any time, and what is asked of a place is checked beforehand."""

import csv
import json
import math
import sys

import pytest

from tapered.scripts import metrics
from tapered.scripts.errors import ScriptError


def read(source, folder, step=None):
    return metrics.reader(source, step).read(folder)


@pytest.fixture
def out(tmp_path):
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("json", 'try "jsonl"'),
        ("wandb", "expected one of jsonl, csv"),
        ("", "expected one of"),
        ("csv", 'try "csv:{out}/log.csv"'),
        ("csv:", 'try "csv:{out}/log.csv"'),
        ("jsonl:", "try"),
        ("tensorboard", 'try "tensorboard:{out}"'),
        ("csv:{seed}/log.csv", "{seed} is unknown"),
        ("regex", r"try \"regex:step"),
        ("regex:(", "no regular expression"),
        (r"regex:loss (?P<loss>\S+)", r"expected a group that counts, \(\?P<step>"),
        (r"regex:step (?P<step>\d+)", "and one for each number"),
    ],
)
def test_a_place_that_is_none_is_refused(source, said) -> None:
    with pytest.raises(ScriptError, match=said):
        metrics.reader(source)
    with pytest.raises(ScriptError, match="the name of what counts"):
        metrics.reader("jsonl", step=" ")


@pytest.mark.parametrize(
    "source", ["jsonl", "jsonl:{out}/a.jsonl", "csv:{out}/a.csv", "trainer_state", r"regex:(?P<step>\d+) (?P<a>\d+)"]
)
def test_before_anything_is_written_nothing_was_told(source, tmp_path) -> None:
    told = read(source, tmp_path)
    assert (told.points, told.last, told.diverged, told.count, told.unread) == ({}, None, None, 0, 0)


def test_lines_of_json_of_any_script(out) -> None:
    lines = [
        {"iter": 10, "loss": 2, "name": "a", "nested": {"x": 1}, "flag": True, "none": None},
        {"iter": 20.0, "loss": math.nan, "lr": "1e-3"},
        {"loss": 3.0},
        [1, 2],
        {"iter": 10.5, "loss": 1},
        {"iter": -1, "loss": 1},
    ]
    text = "\n".join(map(json.dumps, lines)) + "\n\nno json\n" + '{"iter": 30, "loss": 1}'
    (out / "log.jsonl").write_text(text)
    told = read("jsonl:{out}/log.jsonl", out.parent)
    assert told.points["loss"] == pytest.approx({10: 2.0, 20: math.nan}, nan_ok=True)
    assert told.points["lr"] == {20: 0.001}
    assert {*told.points} == {"loss", "lr"}
    assert (told.last, told.diverged, told.unread) == (20, 20, 5)
    assert read("jsonl:log.jsonl", out.parent, "iter+1").last == 21
    assert read(f"jsonl:{out}/log.jsonl", out.parent, "loss").points == {"iter": {2: 10.0, 1: -1.0}}


def test_columns_with_empty_cells_another_separator_and_a_header_that_comes_again(out) -> None:
    with (out / "log.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows(
            [["Step", "train, loss", "valid"], [5, 1.5, ""], [5, "", 2.5], ["Step", "train, loss", "valid"]]
        )
        writer.writerows([[10, "inf", 2], [10, 0.5, 2], ["x", 1, 1], [11, 1, 1, 1]])
        file.write("12,0.12")
    told = read("csv:{out}/log.csv", out.parent)
    assert told.points == {"train, loss": {5: 1.5, 10: 0.5}, "valid": {5: 2.5, 10: 2.0}}
    assert told.apart == {"train, loss": (10, math.inf), "valid": (10, 0.0)}
    assert told.unread == 2
    (out / "log.tsv").write_text("\ufeffepoch\tits\tloss\n1\t7\t0.5\n")
    assert read("csv:{out}/log.tsv", out.parent, "its").points["loss"] == {7: 0.5}
    with pytest.raises(ScriptError, match="has the columns epoch, its, loss; expected one of the usual names"):
        read("csv:{out}/log.tsv", out.parent)


def state(folder, *history):
    folder.mkdir(exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history, "global_step": 3}))


def test_what_trainer_keeps_is_read_once_over_all_its_checkpoints(out) -> None:
    first = {"step": 5, "loss": 2.0, "epoch": 0.5, "learning_rate": 0.1}
    second = {"step": 10, "eval_loss": 1.0, "eval_runtime": 0.1, "eval_samples_per_second": 3}
    state(out / "checkpoint-5", first)
    state(out / "checkpoint-10", first, second)
    (out / "checkpoint-15").mkdir()
    (out / "checkpoint-15" / "trainer_state.json").write_text('{"log_hist')  # a kill in its save
    state(out / "bad-checkpoint", {"step": 99, "loss": 0.0})
    told = read("trainer_state", out.parent)
    assert told.points == {"loss": {5: 2.0}, "learning_rate": {5: 0.1}, "eval_loss": {10: 1.0}}
    assert told.apart == {}
    state(out / "checkpoint-20", {**first, "loss": 2.5}, second)
    assert read("trainer_state", out.parent).apart == {"loss": (5, 0.5), "learning_rate": (5, 0.0)}


def test_what_is_printed_is_read_by_a_pattern_over_every_start(tmp_path) -> None:
    (tmp_path / "1.out").write_bytes(b"step 1 loss 2.0\rstep 2 loss nan\n\xff\xfe\nstep 3 lo")
    (tmp_path / "1.err").write_text("step 4 loss 0.4\n")
    (tmp_path / "2.out").write_text("step 2 loss 1.5\nstep 5 loss abc\nstep 6 loss 0.1")
    told = read(r"regex:step (?P<step>\d+) loss (?P<loss>\S+)", tmp_path)
    assert told.points == {"loss": {1: 2.0, 2: 1.5, 4: 0.4}}
    assert told.apart == {"loss": (2, math.inf)}


def test_event_files_of_tensorboard(out) -> None:
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    for folder, last in ((out / "runs", 3), (out / "runs", 4), (out / "runs" / "valid", 3)):
        writer = SummaryWriter(folder)
        for step in (1, 2, last):
            writer.add_scalar("loss", step / 2, step)
            writer.add_scalar("new", step / 4, step, new_style=True)
        writer.close()
    told = read("tensorboard:{out}/runs", out.parent)
    assert told.points["loss"] == {1: 0.5, 2: 1.0, 3: 1.5, 4: 2.0}
    assert told.points["new"] == {1: 0.25, 2: 0.5, 3: 0.75, 4: 1.0}
    assert told.points["valid/loss"] == {1: 0.5, 2: 1.0, 3: 1.5}
    assert told.apart["loss"] == (1, 0.0)


def test_without_tensorboard_the_line_that_installs_it_is_said(out, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboard.backend.event_processing.event_accumulator", None)
    with pytest.raises(ScriptError, match="pip install tensorboard"):
        read("tensorboard:{out}", out.parent)
