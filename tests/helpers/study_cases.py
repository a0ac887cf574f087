"""What tests of studies share: arms as text, how rows are trained, from text to verdict, and one stopped often."""

from tapered import study as studies
from tapered.study import conclude, open_store, plan_of, train_runs
from tapered.study.plan.rounds import finished_rounds
from tapered.training import modes
from tapered.training.advance import Mode

LOOP, ROWS = Mode("loop", 1, "a test says so"), Mode("rows", 8, "a test says so")
MODES = {mode.kind: mode for mode in (LOOP, ROWS)}


def arm_text(name, lr="constant(1.0)", rule="SGD", more=""):
    """An arm's table in a study's file."""
    return f'[[arms]]\nname = "{name}"\nrule = "{rule}"\nlr = "{lr}"\n{more}\n'


SMALL = """workload = "quadratic"
steps = 8
seeds = 2
evaluations = 2
mode = "loop"
baseline = "constant"
peaks = { low = 0.05, high = 0.1, count = 2 }
"""
TINY = 'name = "tiny"\n' + SMALL + arm_text("constant")


def trained_as(monkeypatch, mode):
    """How rows are trained, whatever is faster here."""
    monkeypatch.setattr(modes, "forecast", lambda *_: modes.Timed(mode, 1e-5))


def planned(*given, **options):
    """A study planned, from its file or its name."""
    return plan_of(studies.read(*given, **options))


def read(folder, text, **options):
    (folder / "my.toml").write_text(text)
    return planned(str(folder / "my.toml"), **options)


def finished(found, folder, **options):
    with open_store(found, folder) as store:
        runs = train_runs(found, store, **options)
        return runs, conclude(found, store, runs)


def stopped_again_and_again(found, folder, updates):
    """Train with a stop after so many updates, as often as it takes; the runs, all updates made, and how often."""
    total, times = 0, 0
    while True:
        seen = []
        with open_store(found, folder) as store:
            runs = train_runs(found, store, progress=seen.append, stop=lambda seen=seen: sum(seen) >= updates)
        total, times = total + sum(seen), times + 1
        if finished_rounds(found, {run.key: run for run in runs})[1]:
            return runs, total, times
