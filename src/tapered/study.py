"""A study run: every arm at every peak and every seed, each once, whatever interrupts.

forest_of(loaded) ─► bundles ─► train_runs(loaded, store) ─► finished runs ─► conclude ─► StudyResult
                        ▲              │                                  ╰─► verify: a sample from scratch
                        ╰──── store ◄──╯   finished bundles are read, begun ones go on where they stood
"""

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from math import isnan
from pathlib import Path

import numpy as np
import torch

from tapered import modes
from tapered.forest import Forest, Task
from tapered.grow import Grower, most_rows
from tapered.ledger import Space
from tapered.load import Loaded
from tapered.result import Cost, StudyResult, analyse, best_runs
from tapered.rules import Rule
from tapered.runs import Branch, Run, rows_to_tensors, run_key
from tapered.store import Store
from tapered.study_file import Arm, to_toml
from tapered.train import Mode, Rows, advance, evaluate, start

SAMPLE = 8


@dataclass(frozen=True)
class Verified:
    """A sample of runs, trained again from scratch, each by itself in its own row.

    Args:
        runs: How many.
        of: Out of how many.
        difference: The largest |difference| over parameters, buffers and rule state; infinite where one diverged at
            another step.
    """

    runs: int
    of: int
    difference: float


def environment() -> dict[str, str]:
    """Versions and machine, as a report states them."""
    names = ("tapered", "torch", "numpy", "scipy", "optuna")
    return {name: _version(name) for name in names} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def frozen_facts(loaded: Loaded) -> dict[str, str]:
    """What every number of the study depends on, field -> text."""
    study = loaded.study.model_dump(mode="json", exclude_none=True, exclude={"arms"})
    facts = {f"study.{name}": str(value) for name, value in study.items()}
    for i, arm in enumerate(loaded.study.arms):
        fields = arm.model_dump(mode="json", exclude_none=True)
        facts |= {f"study.arms.{i}.{name}": str(value) for name, value in fields.items()}
    return facts | {"results": "bundles of rows"} | _shared_facts(loaded)


def _shared_facts(loaded: Loaded) -> dict[str, str]:
    return {
        "steps": str(loaded.steps),
        "workload.data": loaded.workload.fingerprint()[:20],
        "workload.file": loaded.source[:20],
        "versions": f"tapered {_version('tapered')}, torch {torch.__version__}, numpy {np.__version__}",
    }


def evaluation_steps(loaded: Loaded) -> list[int]:
    """The steps at which every run is evaluated: 0, the last, and evenly between."""
    n = loaded.study.evaluations
    return sorted({round(i * loaded.steps / n) for i in range(n + 1)})


def forest_of(loaded: Loaded, *, shared: bool = True) -> Forest:
    """Every run of the study, arms first, then peaks, then seeds; ``shared=False`` plans each by itself."""
    facts = {**_shared_facts(loaded), "evaluations": evaluation_steps(loaded), "threads": loaded.study.threads}
    tasks = [
        task
        for arm in loaded.study.arms
        for peak in loaded.study.peaks_of(arm)
        for task in _tasks(facts, loaded, arm, peak)
    ]
    return Forest(loaded.workload, tuple(tasks), tuple(evaluation_steps(loaded)), shared)


def _tasks(facts: Mapping[str, object], loaded: Loaded, arm: Arm, peak: float | None) -> Iterator[Task]:
    """The runs of an arm at a peak, which have one path."""
    rule, path = arm.build(), arm.path(loaded.steps, peak)
    fields = arm.model_dump(mode="json", exclude={"peaks"})
    fields["lr"] = str(arm.schedule(loaded.steps, peak))
    for seed in loaded.study.seed_values:
        key = run_key({**facts, "metric": loaded.study.metric, "arm": fields, "peak": peak, "seed": seed})
        yield Task(Run(key, arm.name, peak, seed, loaded.steps), rule, path)


def default_folder(loaded: Loaded, root: Path = Path("studies")) -> Path:
    """A folder for exactly this study: its name, and a hash of everything that its numbers depend on."""
    slug = re.sub(r"[^a-z0-9]+", "-", loaded.study.name.lower()).strip("-")[:40] or "study"
    return root / f"{slug}-{run_key(frozen_facts(loaded))[:8]}"


def open_store(loaded: Loaded, folder: Path) -> Store:
    """The study's store, locked; close it by ``with``.

    Raises:
        StoreError: If the folder belongs to another study, is in use or is damaged.
    """
    study = loaded.study
    peaks = [peak for arm in study.arms for peak in study.peaks_of(arm) if peak is not None]
    arms = [arm.name for arm in study.arms]
    space = Space(study.name, study.direction, study.metric, arms, peaks, study.seed_values)
    return Store(folder, to_toml(study), frozen_facts(loaded), space)


def train_runs(
    loaded: Loaded,
    store: Store,
    *,
    shared: bool = True,
    progress: Callable[[int], None] = lambda updates: None,  # noqa: ARG005 - named for the reader
    stop: Callable[[], bool] = lambda: False,
) -> list[Run]:
    """Train what is not trained yet.

    Args:
        loaded: The study.
        store: Its open store; bundles of runs are kept there when they end, and at least every 10 seconds.
        shared: False trains every run by itself, with the same results.
        progress: Called with the number of updates made since the last call.
        stop: Asked after every update; True stops there, and the bundle at hand is kept where it stands.

    Returns:
        The finished runs in the order of the plan; fewer than planned where it was stopped.

    Raises:
        RunError: If a model, loss or dataset raises. What was kept before stays.
    """
    forest = forest_of(loaded, shared=shared)
    with threads(loaded):
        for rule in forest.rules:
            _train_rule(forest, rule, store, progress, stop)
    finished = {run.key: run for run in store.runs() if run.finished}
    return [finished[task.run.key] for task in forest.tasks if task.run.key in finished]


@contextmanager
def threads(loaded: Loaded) -> Iterator[None]:
    """Torch with the study's number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(loaded.study.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _train_rule(
    forest: Forest, rule: Rule, store: Store, progress: Callable[[int], None], stop: Callable[[], bool]
) -> None:
    begun = store.bundles()
    known = {key for bundle in begun for key in bundle.keys}
    waiting = [bundle for bundle in begun if not bundle.finished and forest.rule(bundle) == rule]
    if stop() or not (waiting or forest.bundles(rule, 1, known)):
        return
    mode = store.modes.get(repr(rule)) or timed_mode(forest, rule).mode
    store.put_mode(repr(rule), mode)
    waiting += forest.bundles(rule, bundle_rows(forest, rule, mode), known)
    grower = Grower(forest, store, mode, progress, stop)
    while waiting and not stop():
        waiting = grower.grow(waiting[0]) + waiting[1:]
    store.put_mode(repr(rule), grower.mode)


def timed_mode(forest: Forest, rule: Rule) -> modes.Timed:
    """How the rows of a rule are trained, and the seconds of a step of a row."""
    try:
        trees = forest.trees(rule)
        rows = min(sum(forest.plan.width(tree) for tree in trees), most_rows(forest.workload, rule))
        crowd = forest.plan.crowd([segment for tree in trees for segment in tree])
        return modes.forecast(forest.workload, rule, rows, forest.marks[-1], crowd)
    except Exception as error:  # noqa: BLE001 - the model's own, which the loop raises again and names the run
        return modes.Timed(Mode("loop", 1, f"timing the model raised {type(error).__name__}"), float("nan"))


def bundle_rows(forest: Forest, rule: Rule, mode: Mode) -> int:
    """The most rows of a bundle; the loop trains a tree at a time, so that each run is kept when it is finished."""
    return 1 if mode.kind == "loop" else most_rows(forest.workload, rule)


def updates_made(forest: Forest, store: Store) -> int:
    """Updates that were made and kept, each shared one once."""
    return forest.done([branch for bundle in store.bundles() for branch in bundle.branches])


def conclude(loaded: Loaded, store: Store, runs: Sequence[Run]) -> StudyResult:
    """The verdict of a study whose runs are all finished; the test split, if there is one, is looked at here."""
    forest = forest_of(loaded)
    test = _test(forest, store, best_runs(loaded, runs)) if loaded.workload.test is not None else {}
    return analyse(loaded, runs, test, environment(), cost_of(forest, store.modes))


def cost_of(forest: Forest, chosen: Mapping[str, Mode]) -> Cost:
    """What the runs take, and how the rows of each rule are trained."""
    used = [(tuple(arms_of(forest, rule)), chosen[repr(rule)]) for rule in forest.rules if repr(rule) in chosen]
    return Cost(forest.plan.asked, forest.plan.to_run, forest.plan.reason, tuple(used))


def arms_of(forest: Forest, rule: Rule) -> list[str]:
    """The arms that have this rule."""
    return list(dict.fromkeys(task.run.arm for task in forest.tasks if task.rule == rule))


def _ends(forest: Forest, store: Store, runs: Sequence[Run]) -> Iterator[tuple[list[Branch], Rows]]:
    """The end states of runs, a bundle at a time; those that diverged have none."""
    wanted = {run.key for run in runs}
    for bundle in store.bundles():
        places = [i for i, branch in enumerate(bundle.live) if not wanted.isdisjoint(branch.keys)]
        if places:
            yield [bundle.live[i] for i in places], store.rows(bundle, forest.rule(bundle)).take(places)


def _test(forest: Forest, store: Store, runs: Sequence[Run]) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for branches, rows in _ends(forest, store, runs):
        points = evaluate(forest.workload, rows, "test", mode=store.modes[repr(rows.rule)])
        found |= {key: point for branch, point in zip(branches, points, strict=True) for key in branch.keys}
    return found


def verify(loaded: Loaded, store: Store, runs: Sequence[Run], sample: int = SAMPLE) -> Verified:
    """Train an even sample of finished runs again, each from step 0 in a row of its own, and compare the ends."""
    forest = forest_of(loaded, shared=False)
    chosen = [runs[i * len(runs) // sample] for i in range(sample)] if len(runs) > sample else list(runs)
    with threads(loaded):
        differences = [_difference(forest, store, rule, chosen) for rule in forest.rules]
    return Verified(len(chosen), len(runs), max(differences))


def _difference(forest: Forest, store: Store, rule: Rule, runs: Sequence[Run]) -> float:
    tasks = [forest.tasks[forest.place[run.key]] for run in runs]
    mine = [(task, run) for task, run in zip(tasks, runs, strict=True) if task.rule == rule]
    if not mine:
        return 0.0
    rows = start(forest.workload, rule, [run.seed for _, run in mine])
    mode = store.modes[repr(rule)]
    if mode.kind == "rows":  # numbers do not depend on the width; a graph would be compiled anew
        mode = replace(mode, width=-(-len(rows) // 8) * 8)
    again = advance(forest.workload, rows, [task.path for task, _ in mine], forest.marks[-1], mode=mode)
    if again.diverged != tuple(run.diverged for _, run in mine):
        return float("inf")
    places = {run.key: i for i, (_, run) in enumerate(mine)}
    return max(
        (
            _distance(rows.take([i]), again.take([places[key]]))
            for branches, rows in _ends(forest, store, [run for _, run in mine])
            for i, branch in enumerate(branches)
            for key in branch.keys
            if key in places
        ),
        default=0.0,
    )


def _distance(a: Rows, b: Rows) -> float:
    left, right = rows_to_tensors(a), rows_to_tensors(b)
    pairs = [(left[name], right[name]) for name in left if left[name].numel()]
    gaps = [0.0 if torch.equal(x, y) else (x.double() - y.double()).abs().max().item() for x, y in pairs]
    return max((float("inf") if isnan(gap) else gap for gap in gaps), default=0.0)
