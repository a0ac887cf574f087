"""A study run: every arm at every peak and every seed, each once, whatever interrupts.

rounds(loaded) ─► forest ─► bundles ─► train_runs(loaded, store) ─► finished runs ─► conclude ─► StudyResult
   ▲                           ▲              │                                  ╰─► verify: a sample from scratch
   ╰── what is finished ───────┴── store ◄────╯   finished bundles are read, begun ones go on where they stood
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tapered import modes, prune, steady
from tapered.conclude import conclude, cost_of
from tapered.forest import Forest
from tapered.grow import Grower, most_rows
from tapered.ledger import Space
from tapered.load import Loaded
from tapered.memory import is_out_of_memory
from tapered.rounds import Round, finished_rounds, rounds
from tapered.rules import Rule
from tapered.runs import Run
from tapered.store import Store
from tapered.study_file import to_toml
from tapered.tasks import default_folder, environment, evaluation_steps, forest_of, frozen_facts, threads
from tapered.train import LOOP, Mode, advance, evaluate, start, tabulate
from tapered.verify import Verified, verify

__all__ = [
    "Verified",
    "conclude",
    "cost_of",
    "default_folder",
    "environment",
    "evaluation_steps",
    "finished_rounds",
    "forest_of",
    "frozen_facts",
    "open_store",
    "threads",
    "train_runs",
    "updates_made",
    "verify",
]


def open_store(loaded: Loaded, folder: Path) -> Store:
    """The study's store, locked; close it by ``with``.

    Raises:
        StoreError: If the folder belongs to another study, is in use or is damaged.
    """
    study = loaded.study
    # Optuna wants to know beforehand what may come: extended grids and fresh seeds too
    widest = study.extended(study.most_added, study.most_added)
    peaks = [peak for arm in widest.arms for peak in widest.peaks_of(arm) if peak is not None]
    arms = [arm.name for arm in study.arms]
    seeds = [*study.seed_values, *study.fresh_seeds]
    space = Space(study.name, study.direction, study.metric, arms, peaks, seeds)
    return Store(folder, to_toml(study), frozen_facts(loaded), space, study.kinds)


def train_runs(
    loaded: Loaded,
    store: Store,
    *,
    shared: bool = True,
    progress: Callable[[int], None] = lambda updates: None,  # noqa: ARG005 - named for the reader
    stop: Callable[[], bool] = lambda: False,
    on_round: Callable[[Round], None] = lambda round_: None,  # noqa: ARG005 - as above
) -> list[Run]:
    """Train what is not trained yet, round after round.

    Args:
        loaded: The study.
        store: Its open store; bundles of runs are kept there when they end, and at least every 10 seconds.
        shared: False trains every run by itself, with the same results.
        progress: Called with the number of updates made since the last call.
        stop: Asked after every update; True stops there, and the bundle at hand is kept where it stands.
        on_round: Called with each round before it is trained.

    Returns:
        The finished runs in the order of the rounds; fewer than `finished_rounds` asks for where it was stopped.

    Raises:
        RunError: If a model, loss or dataset raises. What was kept before stays.
        UnsteadyError: If the workload's numbers depend on more than seed and step.
    """
    store.check_modes()
    trainer = _Trainer(store, progress, stop)
    done: list[Round] = []
    with threads(loaded):
        for round_ in rounds(loaded, lambda: finished(store), shared=shared):
            if not done and len(round_.runs(finished(store))) < len(round_.forest.tasks):
                store.check_writable()
                steady.check(loaded.workload)
            done.append(round_)
            on_round(round_)
            if not trainer.train_round(round_):
                break
    known = finished(store)
    return [run for round_ in done for run in round_.runs(known)]


def finished(store: Store) -> dict[str, Run]:
    """Every finished run by its key."""
    return {run.key: run for run in store.runs() if run.finished}


@dataclass(frozen=True)
class _Trainer:
    store: Store
    progress: Callable[[int], None]
    stop: Callable[[], bool]

    def train_round(self, round_: Round) -> bool:
        """Train a round from rung to rung, leaving runs behind; False where it was stopped before its end."""
        loaded, forest = round_.loaded, round_.forest
        alive = forest  # what forest becomes, where pruning is more than asked what it would do
        for rung in round_.rungs:
            if not self.train(forest, rung):
                return False
            known = self._known()
            left = alive.without(prune.peaks_lost(loaded, alive, rung, known))
            probes = prune.begin(loaded, left, rung, self.store)
            if not self.train(probes, probes.marks[-1]):
                return False
            out = prune.lost_at(loaded, alive, rung, self._known())
            alive = alive.without(out)
            if not loaded.whole:
                prune.drop(self.store, out, rung, forest)
                forest = alive
        return self.train(forest, forest.marks[-1])

    def _known(self) -> dict[str, Run]:
        return {run.key: run for run in self.store.runs()}

    def train(self, forest: Forest, until: int) -> bool:
        """Train a forest to a mark; False where it was stopped before."""
        return all(self._train_rule(forest, rule, until) for rule in forest.rules)

    def _train_rule(self, forest: Forest, rule: Rule, until: int) -> bool:
        begun = [bundle for bundle in self.store.bundles() if forest.holds(bundle)]
        known = {key for bundle in begun for key in bundle.keys}
        waiting = [bundle for bundle in begun if not bundle.reached(until) and forest.rule(bundle) == rule]
        if not (waiting or forest.bundles(rule, 1, known)):
            return True
        self.store.check_writable()
        if self.stop():
            return False
        mode = self.store.modes.get(repr(rule)) or timed_mode(forest, rule).mode
        self.store.put_mode(repr(rule), mode)
        waiting += forest.bundles(rule, bundle_rows(forest, rule, mode), known)
        grower = Grower(forest, self.store, mode, self.progress, self.stop, until)
        while waiting and not self.stop():
            waiting = grower.grow(waiting[0]) + waiting[1:]
        self.store.put_mode(repr(rule), grower.mode)
        mine = [bundle for bundle in self.store.bundles() if forest.holds(bundle) and forest.rule(bundle) == rule]
        return not waiting and all(bundle.reached(until) for bundle in mine)


def timed_mode(forest: Forest, rule: Rule) -> modes.Timed:
    """How the rows of a rule are trained, and the seconds of a step of a row.

    A model that raises in an ordinary loop too is left to the loop, which raises again and names the run.

    Raises:
        ModeError: If the study's file asks for a mode that cannot be taken.
    """
    trees, workload, steps = forest.trees(rule), forest.workload, forest.marks[-1]
    try:
        most = most_rows(workload, rule)
        rows = min(most, sum(forest.plan.width(tree) for tree in trees))
        crowd = [(min(most, many), steps) for many, steps in forest.plan.crowd([i for tree in trees for i in tree])]
        if forest.mode == "auto":
            return modes.forecast(workload, rule, rows, steps, crowd)
        return modes.fixed(workload, rule, forest.mode, rows, steps, crowd)
    except modes.ModeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            reason = "memory ran out when a few steps were tried"
        elif _raises_alone(forest, rule):
            reason = "the model, its loss or its data raise an error, in an ordinary loop too"
        else:
            raise  # it is ours
        return modes.Timed(Mode("loop", 1, reason), float("nan"))


def _raises_alone(forest: Forest, rule: Rule) -> bool:
    """Whether a few steps of a row as ordinary PyTorch raise, or its evaluation."""
    try:
        begun = start(forest.workload, rule, [0])
        advance(forest.workload, begun, [tabulate(rule, 64, lr=modes.RATE)], 64, mode=LOOP)
        evaluate(forest.workload, begun, "valid")
    except Exception:  # noqa: BLE001 - the model's own
        return True
    return False


def bundle_rows(forest: Forest, rule: Rule, mode: Mode) -> int:
    """The most rows of a bundle; the loop trains a tree at a time, so that each run is kept when it is finished."""
    return 1 if mode.kind == "loop" else most_rows(forest.workload, rule)


def updates_made(forest: Forest, store: Store) -> int:
    """Updates of a forest's runs that were made and kept, each shared one once."""
    return forest.updates({run.key: run.step for run in store.runs()})
