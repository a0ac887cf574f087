"""The verdict of a finished study: its rounds put together, the test split read once, what it took."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from tapered import kind
from tapered.study.file.question import restated
from tapered.study.file.script import Scripted
from tapered.study.plan.cost import cost_of
from tapered.study.plan.facts import environment
from tapered.study.plan.planned import Planned
from tapered.study.plan.pruning import pruning_of
from tapered.study.plan.rounds import Round, best_of, finished_rounds
from tapered.study.result import Cost, StudyResult, analyse
from tapered.study.script.telling import cost_of_runs, witnessed_of
from tapered.study.store.folder import Store
from tapered.study.store.runs import Run
from tapered.study.train.verify import ends
from tapered.training.advance import evaluate
from tapered.training.measures import told


def conclude(planned: Planned, store: Store, runs: Sequence[Run]) -> StudyResult:
    """The verdict of a study whose runs are all finished; the test split, if there is one, is looked at here.

    Args:
        planned: The study.
        store: Its open store.
        runs: All of its runs, of every round.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from tapered.study import conclude, open_store, plan_of, read, train_runs
        >>> planned = plan_of(read("control-null", seeds=1, steps=4))
        >>> with open_store(planned, Path(tempfile.mkdtemp(), "mine")) as store:
        ...     result = conclude(planned, store, train_runs(planned, store))
        >>> [(one.arm, one.baseline, one.chosen.verdict.word) for one in result.comparisons]
        [('linear to zero', 'constant', 'not enough seeds')]
    """
    found, _ = finished_rounds(planned, {run.key: run for run in runs})
    rounds = [replace(round_, forest=round_.forest.told(runs)) for round_ in found]
    realised, fresh_seeds = rounds[-1].planned, planned.study.fresh_seeds
    fresh = [run for run in runs if run.seed in fresh_seeds]
    choosing = [run for run in runs if run.seed not in fresh_seeds]
    best = [best_of(realised, arm, choosing) for arm in realised.study.arms]
    tested = [run for peak in best if peak is not None for run in peak.runs]
    subject = planned.subject
    if isinstance(subject, Scripted):
        test, cost, seen = {}, cost_of_runs(planned, rounds, store), witnessed_of(subject, rounds, store)
        said: Sequence[str] = seen.caveats
    else:
        test = {} if subject.test is None else _test(rounds, store, tested)
        cost, seen, said = _cost(rounds, store), None, tuple(told(subject))
    result = analyse(
        realised.asked, choosing, test, environment(planned.stated), cost, fresh, planned.stated.text, planned.facts
    )
    late = restated(store.begun, planned.study)
    return replace(result, caveats=(*result.caveats, *late, *said, *_mixed(store.kinds)), script=seen)


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


def _test(rounds: Sequence[Round], store: Store, runs: Sequence[Run]) -> dict[str, Mapping[str, float]]:
    found: dict[str, Mapping[str, float]] = {}
    for round_ in rounds:
        mine = round_.runs({run.key: run for run in runs})
        for branches, rows in ends(round_.forest, store, mine):
            points = evaluate(round_.forest.workload, rows, "test", mode=store.modes[repr(rows.rule)])
            found |= {key: point for branch, point in zip(branches, points, strict=True) for key in branch.keys}
    return found
