"""A study run: every arm at every peak and every seed, each once, whatever interrupts.

plan(loaded) ─► runs ─► train_runs(loaded, store) ─► finished runs ─► conclude ─► StudyResult
▲      │
└ store ┘   finished runs are read, begun ones go on where they stood
"""

import platform
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from tapered.load import Loaded
from tapered.result import StudyResult, analyse, best_runs
from tapered.runs import Run, run_key
from tapered.store import Space, Store, StoreError
from tapered.study_file import Arm, to_toml
from tapered.train import Path as TablePath
from tapered.train import Row, advance, evaluate, start

SAVE_SECONDS = 10.0


class RunError(Exception):
    """A run whose model, loss or data raised; the message says which, and the cause is attached."""


@dataclass(frozen=True)
class Planned:
    """A run to be made, and its arm."""

    run: Run
    arm: Arm


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
    return facts | _shared_facts(loaded)


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


def plan(loaded: Loaded) -> list[Planned]:
    """Every run of the study, arms first, then peaks, then seeds."""
    shared = {**_shared_facts(loaded), "evaluations": evaluation_steps(loaded), "threads": loaded.study.threads}
    return [
        Planned(Run(_key(shared, arm, peak, seed, loaded), arm.name, peak, seed, loaded.steps), arm)
        for arm in loaded.study.arms
        for peak in loaded.study.peaks_of(arm)
        for seed in loaded.study.seed_values
    ]


def _key(shared: Mapping[str, object], arm: Arm, peak: float | None, seed: int, loaded: Loaded) -> str:
    fields = arm.model_dump(mode="json", exclude={"peaks"})
    fields["lr"] = str(arm.schedule(loaded.steps, peak))
    return run_key({**shared, "metric": loaded.study.metric, "arm": fields, "peak": peak, "seed": seed})


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
    progress: Callable[[int], None] = lambda updates: None,  # noqa: ARG005 - named for the reader
    stop: Callable[[], bool] = lambda: False,
) -> list[Run]:
    """Train what is not trained yet.

    Args:
        loaded: The study.
        store: Its open store; every run is kept there as soon as it is finished, and at least every 10 seconds.
        progress: Called with the number of updates made since the last call.
        stop: Asked after every update; True stops there, and the run at hand is kept where it stands.

    Returns:
        The finished runs in the order of the plan; fewer than planned where it was stopped.

    Raises:
        RunError: If a model, loss or dataset raises. What was trained before is kept.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(loaded.study.threads)
    try:
        return list(_finished(loaded, store, progress, stop))
    finally:
        torch.set_num_threads(threads)


def _finished(loaded: Loaded, store: Store, progress: Callable[[int], None], stop: Callable[[], bool]) -> Iterable[Run]:
    for planned in plan(loaded):
        run = store.get(planned.run.key)
        if run is None or not run.finished:
            run = _Training(loaded, store, planned.arm, run or planned.run).train(progress, stop)
        if run.finished:
            yield run
        if stop():
            return


class _Training:
    """One run on its way."""

    def __init__(self, loaded: Loaded, store: Store, arm: Arm, run: Run) -> None:
        self.loaded, self.store, self.arm, self.run = loaded, store, arm, run
        self.saved = time.monotonic()

    def train(self, progress: Callable[[int], None], stop: Callable[[], bool]) -> Run:
        """Train to the end, to divergence or to a stop, and keep the run."""
        run = self.run
        try:
            self._train(progress, stop)
        except StoreError:
            raise
        except Exception as error:
            peak = "" if run.peak is None else f", peak {run.peak:g}"
            raise RunError(
                f"arm {run.arm!r}{peak}, seed {run.seed} raised {type(error).__name__} "
                f"after step {self.run.step}: {error}"
            ) from error
        return self.run

    def _train(self, progress: Callable[[int], None], stop: Callable[[], bool]) -> None:
        def on_step(updates: int) -> bool:
            progress(updates)
            return stop()

        loaded, rule = self.loaded, self.arm.build()
        path = self.arm.path(loaded.steps, self.run.peak)
        row = self.store.row(self.run, rule) if self.run.step else start(loaded.workload, rule, self.run.seed)
        for mark in evaluation_steps(loaded):
            if mark < row.step:
                continue
            row = self._advance(row, path, mark, on_step)
            if self.run.finished or stop():
                self.store.put(self.run, row)
                return
            if time.monotonic() - self.saved > SAVE_SECONDS:
                self.store.put(self.run, row)
                self.saved = time.monotonic()

    def _advance(self, row: Row, path: TablePath, mark: int, on_step: Callable[[int], bool]) -> Row:
        """Go on to a mark and, where it is reached, evaluate."""
        [row] = advance(self.loaded.workload, [row], [path], mark, on_step=on_step)
        curve = self.run.curve
        if row.step == mark and row.diverged is None and (not curve or curve[-1][0] < mark):
            curve = (*curve, (mark, evaluate(self.loaded.workload, row, "valid")))
        run = replace(self.run, step=row.step, losses=row.losses, diverged=row.diverged, curve=curve)
        complete = run.finished and run.diverged is None
        self.run = replace(run, value=curve[-1][1][self.loaded.study.metric]) if complete else run
        return row


def conclude(loaded: Loaded, store: Store, runs: Sequence[Run]) -> StudyResult:
    """The verdict of a study whose runs are all finished; the test split, if there is one, is looked at here."""
    test = _test(loaded, store, best_runs(loaded, runs)) if loaded.workload.test is not None else {}
    return analyse(loaded, runs, test, environment())


def _test(loaded: Loaded, store: Store, runs: Sequence[Run]) -> dict[str, Mapping[str, float]]:
    rules = {arm.name: arm.build() for arm in loaded.study.arms}
    rows = {run.key: store.row(run, rules[run.arm]) for run in runs if run.diverged is None}
    return {key: evaluate(loaded.workload, row, "test") for key, row in rows.items()}
