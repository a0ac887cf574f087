"""A study run: every arm at every peak and every seed, each once, whatever interrupts.

rounds(planned) ─► forest ─► bundles ─► train_runs(planned, store) ─► finished runs ─► conclude ─► StudyResult
   ▲                           ▲              │                                  ╰─► verify: a sample from scratch
   ╰── what is finished ───────┴── store ◄────╯   finished bundles are read, begun ones go on where they stood
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from tapered.rules import Rule
from tapered.study.file.script import Scripted
from tapered.study.plan import pruning as prune
from tapered.study.plan.forest import Forest
from tapered.study.plan.mode import bundle_rows, likely_compiled, timed_mode
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import Round, rounds
from tapered.study.store.folder import Store
from tapered.study.store.ledger import Space
from tapered.study.store.ledger_queue import server_ledger
from tapered.study.store.runs import Bundle, Run
from tapered.study.train.choose import executor_of
from tapered.study.train.executor import Executor, Told
from tapered.study.train.task import Work
from tapered.training import rehearsal, steady
from tapered.training.crew import crew
from tapered.training.threads import threads


def open_store(planned: Planned, folder: Path) -> Store:
    """The study's store, locked; close it by ``with``.

    Args:
        planned: The study.
        folder: Where it is kept; made where it is not there.

    Raises:
        StoreError: If the folder belongs to another study, is in use or is damaged.

    Example:
        >>> import tempfile
        >>> from tapered.study import plan_of, read
        >>> with open_store(plan_of(read("control-null")), Path(tempfile.mkdtemp(), "mine")) as store:
        ...     len(store.runs())
        0
    """
    study = planned.study
    # Optuna wants to know beforehand what may come: extended grids and fresh seeds too
    widest = study.extended(study.most_added, study.most_added)
    peaks = [peak for arm in widest.arms for peak in widest.peaks_of(arm) if peak is not None]
    arms = [arm.name for arm in study.arms]
    seeds, fresh = [*study.seed_values, *study.fresh_seeds], study.fresh_seeds
    space = Space(study.name, study.direction, study.metric, arms, peaks, seeds, fresh)
    rehearsal.begin(not folder.exists() and likely_compiled(planned))  # while what the ledger needs is imported
    server = None if study.ledger is None else partial(server_ledger, study.ledger.url, space, planned.identity)
    return Store(folder, planned.stated.text, planned.facts, space, study.kinds, server)


def train_runs(
    planned: Planned,
    store: Store,
    *,
    shared: bool = True,
    executor: Executor | None = None,
    progress: Callable[[int], None] = lambda updates: None,  # noqa: ARG005 - named for the reader
    stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[Round], None] = lambda round_: None,  # noqa: ARG005 - as above
    on_phase: Callable[[str], None] = lambda doing: None,  # noqa: ARG005 - as above
) -> list[Run]:
    """Train what is not trained yet, round after round.

    Args:
        planned: The study.
        store: Its open store; bundles of runs are kept there when they end, and at least every 10 seconds.
        shared: False trains every run by itself, with the same results.
        executor: What trains bundles, with the same results; by default what the study asks for.
        progress: Called with the number of updates made since the last call.
        stop: Asked after every update; True stops there, and the bundle at hand is kept where it stands.
        on_round: Called with each round before it is trained.
        on_phase: Called with what is done from now on: "timing", "compiling", "training".

    Returns:
        The finished runs in the order of the rounds; fewer than `finished_rounds` asks for where it was stopped.

    Raises:
        RunError: If a model, loss or dataset raises. What was kept before stays.
        UnsteadyError: If the workload's numbers depend on more than seed and step.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tapered.study import open_store, plan_of, read, train_runs
        >>> planned = plan_of(read("control-null", seeds=1, steps=4))
        >>> with open_store(planned, Path(tempfile.mkdtemp(), "mine")) as store:
        ...     runs = train_runs(planned, store)
        >>> len(runs), {run.step for run in runs}  # ten that choose peaks, and sixteen with fresh seeds
        (26, {4})
    """
    done: list[Round] = []
    with _trained(planned, store, executor, Told(progress, stop, on_phase)) as trains:
        for round_ in rounds(planned, lambda: finished(store), shared=shared and trains.shares):
            if not done and len(round_.runs(finished(store))) < len(round_.forest.tasks):
                store.check_writable()
                trains.check(planned)
            done.append(round_)
            on_round(round_)
            if not train_round(trains, store, round_):
                break
    known = finished(store)
    return [run for round_ in done for run in round_.runs(known)]


def finished(store: Store) -> dict[str, Run]:
    """Every finished run by its key."""
    return {run.key: run for run in store.runs() if run.finished}


class Trains(Protocol):
    """What trains the runs of a forest: bundles of rows, or a script a run."""

    @property
    def shares(self) -> bool:
        """Whether runs share the steps that they have in common."""

    def check(self, planned: Planned) -> None:
        """Refuse what cannot be trained, before anything is."""

    def train(self, planned: Planned, forest: Forest, until: int, rung: int | None = None) -> bool:
        """Train a forest to a mark; False where it was stopped before."""


@contextmanager
def _trained(planned: Planned, store: Store, executor: Executor | None, told: Told) -> Iterator[Trains]:
    """What trains a study, as long as it does."""
    if isinstance(planned.subject, Scripted):
        from tapered.study.script.trainer import scripts_of  # noqa: PLC0415 - Linux and macOS alone can start scripts

        scripts = scripts_of(planned, planned.subject, store, told.progress, told.stop)
        with closing(scripts.slots):
            yield scripts
        return
    store.check_modes()
    with threads(planned.study.threads), crew(planned.workload), executor or executor_of(planned) as chosen:
        yield _Bundles(store, chosen, told)


def train_round(trains: Trains, store: Store, round_: Round) -> bool:
    """Train a round from rung to rung, leaving runs behind; False where it was stopped before its end."""
    planned, forest = round_.planned, round_.forest
    alive = forest  # what forest becomes, where pruning is more than asked what it would do
    for rung in round_.rungs:
        if not trains.train(planned, forest, rung):
            return False
        left = alive.without(prune.peaks_lost(planned, alive, rung, _known(store)))
        probes = prune.begin(planned, left, rung, store)
        if probes.tasks and not trains.train(planned, probes, probes.marks[-1], rung):
            return False
        out = prune.lost_at(planned, alive, rung, _known(store))
        alive = alive.without(out)
        if not planned.whole:
            prune.drop(store, out, rung, forest)
            forest = alive
    return trains.train(planned, forest, forest.marks[-1])


def _known(store: Store) -> dict[str, Run]:
    return {run.key: run for run in store.runs()}


@dataclass(frozen=True)
class _Bundles:
    store: Store
    executor: Executor
    told: Told
    shares: bool = True

    def check(self, planned: Planned) -> None:
        """As `Trains.check`."""
        steady.check(planned.workload)

    def train(self, planned: Planned, forest: Forest, until: int, rung: int | None = None) -> bool:
        """As `Trains.train`."""
        if any(self._lacking(forest, rule, until) for rule in forest.rules):
            self.store.check_writable()
            self.executor.expect(planned, self.store, forest.plan.to_run - updates_made(forest, self.store))
            self.executor.train(self._works(planned, forest, until, rung), self.store, self.told)
        return not any(self._lacking(forest, rule, until) for rule in forest.rules)

    def _works(self, planned: Planned, forest: Forest, until: int, rung: int | None) -> Iterator[Work]:
        """What each rule lacks, with how its rows are trained, which is found when it is asked for."""
        for rule in forest.rules:
            waiting = self._lacking(forest, rule, until)
            if not waiting or self.told.stop():
                continue
            workers, mode = self.executor.workers, self.store.modes.get(repr(rule))
            seconds: float | None = None
            if mode is None:
                self.told.phase("timing")
                timed = timed_mode(forest, rule, workers, self.told.phase)
                mode, seconds = timed.mode, timed.seconds * forest.steps(rule)
            self.store.put_mode(repr(rule), mode)
            begun = [bundle for bundle in waiting if self.store.holds(bundle)]
            known = {key for bundle in self.store.bundles() for key in bundle.keys}
            fresh = forest.bundles(rule, bundle_rows(forest, rule, mode, workers), known)
            self.told.phase("training")
            yield Work(planned, forest, rule, mode, (*begun, *fresh), until, rung, seconds)

    def _lacking(self, forest: Forest, rule: Rule, until: int) -> Sequence[Bundle]:
        """Bundles of a rule that have not reached a mark, those that were begun first, and the others a tree each."""
        begun = [bundle for bundle in self.store.bundles() if forest.holds(bundle)]
        known = {key for bundle in begun for key in bundle.keys}
        waiting = [bundle for bundle in begun if not bundle.reached(until) and forest.rule(bundle) == rule]
        return [*waiting, *forest.bundles(rule, 1, known)]


def updates_made(forest: Forest, store: Store) -> int:
    """Updates of a forest's runs that were made and kept, each shared one once.

    Args:
        forest: The runs that are planned.
        store: What is kept of them.

    Example:
        >>> import tempfile
        >>> from tapered.study import forest_of, plan_of, read
        >>> planned = plan_of(read("control-null"))
        >>> with open_store(planned, Path(tempfile.mkdtemp(), "mine")) as store:
        ...     updates_made(forest_of(planned), store)
        0
    """
    runs = store.runs()
    return forest.told(runs).updates({run.key: run.step for run in runs})
