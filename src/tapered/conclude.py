"""The verdict of a finished study: its rounds put together, the test split read once, what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tapered import kind
from tapered.forest import Forest
from tapered.load import Loaded
from tapered.measures import told
from tapered.prune import pruning_of
from tapered.result import Cost, StudyResult, analyse
from tapered.rounds import Round, best_of, finished_rounds
from tapered.rules import Rule
from tapered.runs import Run
from tapered.store import Store
from tapered.tasks import environment
from tapered.train import Mode, evaluate
from tapered.verify import ends


def conclude(loaded: Loaded, store: Store, runs: Sequence[Run]) -> StudyResult:
    """The verdict of a study whose runs are all finished; the test split, if there is one, is looked at here.

    Args:
        loaded: The study.
        store: Its open store.
        runs: All of its runs, of every round.
    """
    rounds, _ = finished_rounds(loaded, {run.key: run for run in runs})
    realised, fresh_seeds = rounds[-1].loaded, loaded.study.fresh_seeds
    fresh = [run for run in runs if run.seed in fresh_seeds]
    choosing = [run for run in runs if run.seed not in fresh_seeds]
    best = [best_of(realised, arm, choosing) for arm in realised.study.arms]
    tested = [run for peak in best if peak is not None for run in peak.runs]
    test = _test(rounds, store, tested) if loaded.workload.test is not None else {}
    found = analyse(realised, choosing, test, environment(), _cost(rounds, store), fresh=fresh, stated=loaded)
    return replace(found, caveats=(*found.caveats, *told(loaded.workload), *_mixed(store.kinds)))


def _mixed(kinds: Sequence[str]) -> list[str]:
    """What is to be said where several kinds of processor trained, in one sentence."""
    if len(kinds) < 2:
        return []
    named = [kind.read(text) for text in kinds]
    names = sorted({name for one in named for name in one if len({other.get(name) for other in named}) > 1})
    said = "; ".join(f"{name} {' and '.join(sorted({one.get(name, '?') for one in named}))}" for name in names)
    return [f"{len(kinds)} kinds of processor trained these runs ({said}), so that their last bits would not repeat."]


def _cost(rounds: Sequence[Round], store: Store) -> Cost:
    known = {run.key: run for run in store.runs()}
    return replace(cost_of([round_.forest for round_ in rounds], store.modes), pruning=pruning_of(rounds[0], known))


def cost_of(forests: Sequence[Forest], chosen: Mapping[str, Mode]) -> Cost:
    """What the runs of some forests take, and how the rows of each rule are trained."""
    rules = dict.fromkeys(rule for forest in forests for rule in forest.rules)
    used = [
        (tuple(dict.fromkeys(arm for forest in forests for arm in arms_of(forest, rule))), chosen[repr(rule)])
        for rule in rules
        if repr(rule) in chosen
    ]
    asked, to_run = (sum(getattr(forest.plan, name) for forest in forests) for name in ("asked", "to_run"))
    return Cost(asked, to_run, forests[0].plan.reason if asked == to_run else None, tuple(used))


def arms_of(forest: Forest, rule: Rule) -> list[str]:
    """The arms that have this rule."""
    return list(dict.fromkeys(task.run.arm for task in forest.tasks if task.rule == rule))


def _test(rounds: Sequence[Round], store: Store, runs: Sequence[Run]) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for round_ in rounds:
        mine = round_.runs({run.key: run for run in runs})
        for branches, rows in ends(round_.forest, store, mine):
            points = evaluate(round_.forest.workload, rows, "test", mode=store.modes[repr(rows.rule)])
            found |= {key: point for branch, point in zip(branches, points, strict=True) for key in branch.keys}
    return found
