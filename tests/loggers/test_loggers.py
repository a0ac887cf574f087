"""Loggers: what they are told, each by its library's own names; and that none of them reaches the training."""

import sys
import threading
import types
import warnings
from importlib.machinery import ModuleSpec

import pytest
import torch
from script_runs import ask

from tapered import SGD, linear
from tapered.cli.main import main
from tapered.loggers import guarded, kinds, log_to
from tapered.scripts.current import ScriptRun
from tapered.scripts.lightning import Telling


def trained(*targets, **options):
    """Four updates, told of; the weights at the end, and the warnings."""
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = SGD([weight], lr=linear(0.5, steps=4))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with log_to(*targets, optimizer=optimizer, **options) as log:
            for _ in range(4):
                log(loss=optimizer.minimize(weight.square().sum()))
            log(valid_accuracy=torch.tensor(0.5))
    return weight.tolist(), [str(warning.message) for warning in caught]


ALONE = [
    *((k + 1, "lr/0", 0.5 * (1 - k / 4)) for k in range(4)),
    *((k + 1, "train/loss", 2.0 if k == 0 else 0.0) for k in range(4)),
    (4, "valid/accuracy", 0.5),
]


def flat(told):
    return sorted((step, name, value) for step, values in told for name, value in values.items())


def module(monkeypatch, name, **fields):
    """A library that is installed, as far as anybody can tell."""
    made = types.ModuleType(name)
    made.__spec__ = ModuleSpec(name, None)
    vars(made).update(fields)
    monkeypatch.setitem(sys.modules, name, made)
    return made


class Run:
    """A run of W&B's or Trackio's kind."""

    def __init__(self, **given):
        self.given, self.told, self.ended = given, [], 0

    def log(self, values, step):
        self.told.append((step, values))

    def finish(self):
        self.ended += 1


@pytest.mark.parametrize("kind", ["wandb", "trackio"])
def test_wandb_and_trackio_get_a_run_of_their_own(monkeypatch, kind):
    runs = []
    module(monkeypatch, kind, init=lambda **given: runs.append(Run(**given)) or runs[-1])
    assert trained(f"{kind}:mine", name="one", config={"rule": "SGD"})[1] == []
    [run] = runs
    assert flat(run.told) == sorted(ALONE)
    assert (run.given["project"], run.given["name"], run.given["config"]) == ("mine", "one", {"rule": "SGD"})
    assert run.ended == 1


def test_mlflow_gets_a_run_in_an_experiment(monkeypatch):
    told, calls = [], []

    class Client:
        def get_experiment_by_name(self, name):
            calls.append(name)

        def create_experiment(self, name):
            return f"{name}'s"

        def create_run(self, experiment, run_name):
            calls.append((experiment, run_name))
            return types.SimpleNamespace(info=types.SimpleNamespace(run_id="id"))

        def log_param(self, run, name, value):
            calls.append((run, name, value))

        def log_batch(self, run, metrics):
            assert run == "id"
            told.extend((step, {name: value}) for name, value, _, step in metrics)

        def set_terminated(self, run):
            calls.append(run)

    module(monkeypatch, "mlflow", MlflowClient=Client)
    module(monkeypatch, "mlflow.entities", Metric=lambda *given: given)
    assert trained("mlflow:mine", name="one", config={"rule": "SGD"})[1] == []
    assert calls == ["mine", ("mine's", "one"), ("id", "rule", "SGD"), "id"]
    assert flat(told) == sorted(ALONE)


def test_tensorboards_files_are_read_back(tmp_path):
    pytest.importorskip("tensorboard", reason="pip install tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    assert trained(f"tensorboard:{tmp_path}", name="one", config={"rule": "SGD"})[1] == []
    found = EventAccumulator(str(tmp_path / "one"))
    found.Reload()
    tags = found.Tags()["scalars"]
    assert sorted((e.step, tag, e.value) for tag in tags for e in found.Scalars(tag)) == sorted(ALONE)


def test_what_is_open_already_is_told_and_left_open():
    class Writer:
        flushed = 0

        def __init__(self):
            self.told = []

        def add_scalar(self, name, value, step):
            self.told.append((step, {name: value}))

        def flush(self):
            self.flushed += 1

    writer, run = Writer(), Run()
    theirs = type("Run", (Run,), {"__module__": "wandb.sdk.wandb_run"})()
    assert trained(writer, theirs, None)[1] == []
    assert flat(writer.told) == flat(theirs.told) == sorted(ALONE)
    assert (writer.flushed, theirs.ended) == (1, 0)
    with pytest.raises(TypeError, match="got a Run to log to; expected a text like tensorboard:runs/one"):
        log_to(run)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("tensorbord:x", 'try "tensorboard:runs/one"'),
        ("wandb", 'expected where, after "wandb:"'),
        ("", "expected one of"),
    ],
)
def test_what_is_no_target_is_refused_before_any_is_opened(target, message):
    opened = []
    with pytest.raises(ValueError, match=message):
        log_to(lambda *_: opened.append(1), target)
    with pytest.raises(ValueError, match="got every=0"):
        log_to(every=0)
    with pytest.raises(TypeError, match="got no step"):
        log_to()(loss=1.0)
    with pytest.raises(TypeError, match="got 'low' for `loss`"):
        log_to()(3, loss="low")


def test_a_logger_that_raises_is_dropped_once_and_nothing_else_changes():
    told, calls = [], []

    def broken(step, _):
        calls.append(step)
        raise SystemExit(f"no {step} here")

    alone, _ = trained()
    weights, warned = trained(broken, lambda *said: told.append(said))
    assert weights == alone
    assert len(calls) == 1
    [said] = warned
    assert "the logger test_a_logger_that_raises_is_dropped_once_and_nothing_else_changes.<locals>.broken was" in said
    assert "the run goes on without it: SystemExit: no 1 here" in said
    assert flat(told) == sorted(ALONE)


def test_a_logger_that_is_not_installed_is_dropped_with_the_line_that_installs_it(monkeypatch):
    monkeypatch.setattr(kinds, "find_spec", lambda _: None)
    lost = []
    assert trained("wandb:mine", lost=lost.append)[1] == []
    [said] = lost
    assert said.startswith("the logger wandb:mine was dropped, and the run goes on without it: ")
    assert said.endswith("wandb is not installed; try: pip install wandb")


def test_a_logger_that_hangs_is_dropped_after_its_patience(monkeypatch):
    now, entered, freed, lost = [0.0], threading.Event(), threading.Event(), []
    monkeypatch.setattr(guarded, "monotonic", lambda: now[0])

    def hanging(*_):
        entered.set()
        freed.wait()

    log = log_to(hanging, lost=lost.append)
    try:
        log(1, loss=1.0)
        assert entered.wait(60)
        now[0] = 59.0
        log(2, loss=1.0)
        assert lost == []
        now[0] = 61.0
        log(3, loss=1.0)
        log(4, loss=1.0)
        log.close()  # waits for nothing
        assert [line.rpartition(": ")[2] for line in lost] == ["it has not answered for 60 seconds"]
    finally:
        freed.set()


def test_a_logger_that_hangs_at_its_end_is_left_behind(monkeypatch):
    freed, lost = threading.Event(), []
    monkeypatch.setattr(guarded, "monotonic", lambda: 0.0)  # it may also have much to do, each of it soon done
    log = log_to(lambda *_: freed.wait(), patience=0.01, lost=lost.append)
    log(1, loss=1.0)
    log.close()
    freed.set()
    assert [line.rpartition(": ")[2] for line in lost] == ["it has not answered for 0.01 seconds"]


def test_a_logger_that_falls_behind_is_dropped(monkeypatch):
    monkeypatch.setattr(guarded, "MOST", 3)
    freed, lost = threading.Event(), []
    log = log_to(lambda *_: freed.wait(), lost=lost.append)
    for step in range(6):
        log(step, loss=1.0)
    freed.set()
    assert [line.rpartition(": ")[2] for line in lost] == [
        "it is slower than the training, and 3 steps wait for it; try every=10"
    ]


def test_other_ranks_tell_nothing(monkeypatch):
    monkeypatch.setenv("RANK", "1")
    told = []
    assert trained(lambda *said: told.append(said))[1] == []
    assert told == []


def test_a_trainer_that_logs_tells_it_here():
    told = []
    with log_to(lambda *said: told.append(said)) as log:
        heard = log.heard()
        heard.log(1, train_loss=9.0)
        callback = Telling(heard)
        trainer = types.SimpleNamespace(
            global_step=0, log_every_n_steps=1, should_stop=False, optimizers=[1], sanity_checking=False,
            callback_metrics={"val_loss": torch.tensor(0.25)},
        )  # fmt: skip
        callback.on_train_start(trainer, None)
        trainer.global_step = 1
        callback.on_train_batch_end(trainer, None, torch.tensor(3.0))
        callback.on_validation_end(trainer, None)
        assert not trainer.should_stop
    assert told == [(1, {"train/loss": 3.0}), (1, {"valid/loss": 0.25})]


def test_what_a_studys_script_logs_is_told_as_well(tmp_path, monkeypatch):
    monkeypatch.delenv("TAPERED_RUN", raising=False)
    ask(tmp_path)
    run, told = ScriptRun(tmp_path), []
    with log_to(lambda *said: told.append(said)) as log:
        run.also(log)
        run.log(3, loss=0.5, eval_accuracy=1.0)
    assert told == [(3, {"train/loss": 0.5, "valid/accuracy": 1.0})]
    assert (tmp_path / "reports.jsonl").read_text() == '{"step": 3, "loss": 0.5, "eval_accuracy": 1.0}\n'


WORDS = [
    "quadratic",
    "--rule",
    "SGD",
    "--lr",
    "0.1 * linear(steps=20)",
    "--steps",
    "20",
    "--store",
    "r",
    "--save-every",
    "5",
]


@pytest.mark.usefixtures("here")
def test_a_run_tells_its_rates_losses_and_evaluations_and_goes_on(monkeypatch, capsys):
    opened = []

    def recording(place, about):
        told = []
        opened.append((place, about, told))
        return kinds.Opened(lambda step, values: told.append((step, values)), lambda: None)

    monkeypatch.setattr(kinds, "KINDS", {"tensorboard": recording})
    monkeypatch.setattr(kinds, "find_spec", lambda name: name)
    assert main(["run", *WORDS, "--log-to", "tensorboard:tb"]) == 0
    [(place, about, told)] = opened
    assert (place, about.step, about.config["lr"]) == ("tb", 0, "0.1 * linear(steps=20)")
    rates = [(step, values["lr/0"]) for step, values in told if "lr/0" in values]
    assert rates == [(k + 1, pytest.approx(0.1 * (1 - k / 20))) for k in range(20)]
    assert [step for step, values in told if "train/loss" in values] == [*range(1, 21)]
    assert [step for step, values in told if "valid/loss" in values] == [5, 10, 15, 20]
    assert main(["resume", "r", "--steps", "25", "--log-to", "tensorboard:tb"]) == 0
    _, about, told = opened[1]
    assert about.step == 20
    assert [step for step, values in told if "lr/0" in values] == [*range(21, 26)]
    capsys.readouterr()
    assert main(["run", *WORDS, "--log-to", "tensorbord:tb"]) == 2
    assert 'try "tensorboard:runs/one"' in capsys.readouterr().err
