import json
import subprocess
import sys
from dataclasses import replace
from math import nan

import optuna
import pytest
import torch

from tapered import rules, runs
from tapered.runs import Run, run_key
from tapered.store import Space, Store, StoreError
from tapered.train import advance, start, tabulate
from tapered.workload import quadratic

RULE = rules.Adam()
SPACE = Space("q <script>", "minimize", "loss", ["a", "b"], [0.1, 1.0], [0, 1, 2])
FACTS = {"study.steps": "50", "versions": "torch 2"}


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "study"


def opened(folder, facts=FACTS):
    return Store(folder, 'name = "q"\n', facts, SPACE)


def trained(seed=0, step=50, **changes):
    problem = quadratic()
    path = tabulate(RULE, 50, lr=0.1)
    [row] = advance(problem, [start(problem, RULE, seed)], [path], step)
    run = Run(
        key=run_key({"seed": seed}),
        arm="a",
        peak=0.1,
        seed=seed,
        steps=50,
        step=step,
        curve=((0, {"loss": 3.5, "distance": nan}), (step, {"loss": 0.1 + 0.2, "distance": float("inf")})),
        losses=row.losses,
        value=0.1 + 0.2 if step == 50 else nan,
    )
    return replace(run, **changes), row


def test_a_run_and_its_state_come_back(folder):
    run, row = trained()
    with opened(folder) as store:
        store.put(run, row)
    with opened(folder) as store:
        found = store.get(run.key)
        back = store.row(found, RULE)
    assert repr(found) == repr(run)  # NaN is not equal to itself
    assert (back.step, back.seed, back.losses) == (50, 0, row.losses)
    for name in row.params:
        assert torch.equal(back.params[name], row.params[name])
        assert torch.equal(back.counts[name], row.counts[name])
        for key in row.state[name]:
            assert torch.equal(back.state[name][key], row.state[name][key])
    assert back.buffers.keys() == row.buffers.keys()


def test_a_state_that_was_kept_goes_on_as_if_nothing_happened(folder):
    problem, path = quadratic(), tabulate(RULE, 50, lr=0.1)
    run, row = trained(step=20)
    with opened(folder) as store:
        store.put(run, row)
        assert not store.get(run.key).finished
        back = store.row(run, RULE)
    [a], [b] = (advance(problem, [r], [path], 50) for r in (back, trained(step=0)[1]))
    assert torch.equal(a.params["w"], b.params["w"])
    assert a.losses == b.losses


def test_a_later_state_takes_the_place_of_an_earlier_one(folder):
    with opened(folder) as store:
        for step in (20, 50):
            store.put(*trained(step=step))
        assert [run.step for run in store.runs()] == [50]
    assert len(list((folder / "runs").glob("*.safetensors"))) == 1


def test_optuna_reads_the_ledger(folder, capfd):
    with opened(folder) as store:
        store.put(*trained(0))
        store.put(*trained(1, step=20))
        store.put(*trained(2, step=20, diverged=20))
        store.put(*trained(0))
    assert capfd.readouterr() == ("", "")
    [first, second] = optuna.load_study(study_name="q <script>", storage=f"sqlite:///{folder}/ledger.db").trials
    assert (first.params, first.value) == ({"arm": "a", "peak": 0.1, "seed": 0}, 0.1 + 0.2)
    assert first.intermediate_values == {0: 3.5, 50: 0.1 + 0.2}
    assert first.state == optuna.trial.TrialState.COMPLETE
    assert second.state == optuna.trial.TrialState.FAIL
    assert second.user_attrs["result"] == "diverged at step 20"
    assert second.user_attrs["key"] == run_key({"seed": 2})


def test_a_ledger_that_lags_behind_is_filled_up(folder):
    with opened(folder) as store:
        store.put(*trained(0))
    (folder / "ledger.db").unlink()
    with opened(folder):
        pass
    study = optuna.load_study(study_name="q <script>", storage=f"sqlite:///{folder}/ledger.db")
    assert [trial.params["seed"] for trial in study.trials] == [0]


def test_a_run_without_peak_has_none_in_the_ledger(folder):
    with opened(folder) as store:
        store.put(*trained(peak=None))
        assert store.runs()[0].peak is None
    study = optuna.load_study(study_name="q <script>", storage=f"sqlite:///{folder}/ledger.db")
    assert study.trials[0].params == {"arm": "a", "seed": 0}


def test_another_study_is_refused_with_what_differs(folder):
    with opened(folder):
        pass
    with pytest.raises(StoreError, match=r"study\.steps: 50 there, 60 now\n  study\.x: nothing there, 1 now\nRes") as e:
        opened(folder, {**FACTS, "study.steps": "60", "study.x": "1"})
    assert "versions" not in str(e.value)
    assert "--store" in str(e.value)
    with opened(folder):  # a refusal leaves no lock behind
        pass


def test_a_second_process_is_refused_and_told_of_the_first(folder):
    with opened(folder) as store:
        code = (
            "from tests_store import opened\n"
            "import pathlib, sys\n"
            "try: opened(pathlib.Path(sys.argv[1]))\n"
            "except Exception as e: print(e)"
        ).replace("tests_store", __name__)
        found = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{code}", str(folder)],
            capture_output=True,
            text=True,
            check=True,
        )
        owner = (store.folder / "owner").read_text()
        assert owner.startswith("process ")
        assert f"is in use by {owner}" in found.stdout
    assert not (folder / "owner").exists()


def test_folders_that_are_none_are_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match="is a file"):
        opened(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("x")
    with pytest.raises(StoreError, match="holds files but no study"):
        opened(tmp_path / "photos")
    with pytest.raises(StoreError, match="cannot be written"):
        opened(tmp_path / "file" / "below")
    assert sorted(p.name for p in (tmp_path / "photos").iterdir()) == ["cat.jpg"]


@pytest.mark.parametrize("damage", [lambda _: b"garbage" * 200, lambda b: b[: len(b) // 2], lambda b: b[:3000]])
def test_a_damaged_ledger_is_refused_and_can_be_moved_away(folder, damage):
    with opened(folder) as store:
        store.put(*trained())
    ledger = folder / "ledger.db"
    ledger.write_bytes(damage(ledger.read_bytes()))
    with pytest.raises(StoreError, match=r"ledger\.db is not a ledger of this study .* mv "):
        opened(folder)
    ledger.unlink()
    with opened(folder) as store:
        assert len(store.runs()) == 1


def test_somebody_elses_database_is_refused(folder):
    import sqlite3

    with opened(folder):
        pass
    (folder / "ledger.db").unlink()
    connection = sqlite3.connect(folder / "ledger.db")
    connection.execute("create table studies (name text)")
    connection.commit()
    connection.close()
    with pytest.raises(StoreError, match="not a ledger of this study"):
        opened(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"key": 1}'])
def test_a_damaged_run_is_refused(folder, text):
    run, row = trained()
    with opened(folder) as store:
        store.put(run, row)
        (folder / "runs" / f"{run.key}.json").write_text(text)
        with pytest.raises(StoreError, match=r"is damaged .* delete it and the run is trained again"):
            store.get(run.key)


def test_a_damaged_state_is_refused(folder):
    run, row = trained()
    with opened(folder) as store:
        store.put(run, row)
        [state] = (folder / "runs").glob("*.safetensors")
        data = bytearray(state.read_bytes())
        data[-1] ^= 1
        state.write_bytes(bytes(data))
        with pytest.raises(StoreError, match="is not the file that was written"):
            store.row(run, RULE)
        state.unlink()
        with pytest.raises(StoreError, match="is not the file that was written"):
            store.row(run, RULE)


def test_damaged_frozen_facts_are_refused(folder):
    with opened(folder):
        pass
    (folder / "frozen.json").write_text("{")
    with pytest.raises(StoreError, match=r"frozen\.json is damaged"):
        opened(folder)


@pytest.mark.parametrize("call", ["open", "fsync", "replace"])
@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_crash_while_saving_keeps_the_previous_state(folder, monkeypatch, call, at):
    problem, path = quadratic(), tabulate(RULE, 50, lr=0.1)
    with opened(folder) as store:
        store.put(*trained(step=20))
        left = [at]

        def fail_at(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt
            return original(*arguments, **named)

        target = runs.os if call == "fsync" else runs.Path
        original = getattr(target, call)
        monkeypatch.setattr(target, call, fail_at)
        try:
            store.put(*trained(step=30))
            crashed = False
        except KeyboardInterrupt:
            crashed = True
        monkeypatch.undo()
        run = store.get(run_key({"seed": 0}))
        row = store.row(run, RULE)
    assert run.step in ((20, 30) if crashed else (30,))
    assert crashed == (at <= {"open": 2, "fsync": 4, "replace": 2}[call])
    [row] = advance(problem, [row], [path], 50)
    assert torch.equal(row.params["w"], trained(step=50)[1].params["w"])


def test_a_full_disk_is_said_and_leaves_nothing_half_written(folder, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with opened(folder) as store:
        store.put(*trained(step=20))
        before = sorted((folder / "runs").iterdir())
        monkeypatch.setattr(runs.os, "fsync", full)
        with pytest.raises(StoreError, match=r"could not take run .*No space left"):
            store.put(*trained(step=50))
        assert sorted((folder / "runs").iterdir()) == before
        assert store.runs()[0].step == 20


def test_json_has_no_nan(folder):
    run, row = trained()
    with opened(folder) as store:
        store.put(run, row)

    def refuse(name):
        raise AssertionError(name)

    json.loads((folder / "runs" / f"{run.key}.json").read_text(), parse_constant=refuse)


def test_optuna_comes_in_only_when_a_store_opens():
    code = "import tapered.store, tapered.study, sys; print('optuna' in sys.modules)"
    code = f"import sys; sys.path[:0] = {sys.path!r}\n{code}"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"
