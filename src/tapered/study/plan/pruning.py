"""Runs that need not go to their end: peaks ranked at rungs, schedules by cooldown probes.

            rung          rung
    peak a ──●─────────────●──────────── end      within an arm, by the metric at the rung: the best of its peaks go on
    peak b ──●─────────────x
    peak c ──x             ╰──╮ probe             between arms, by the end of a short cooldown from the rung: a rate
                              ╰ 0                 that has not decayed yet looks bad halfway and may win at the end

Whoever is as good as the last that goes on, goes on: arms that share a trunk so far are probed once and stay together.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any

from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.study.plan.rounds import Round, best_of
from tapered.study.plan.tasks import Task
from tapered.study.result import Pruning
from tapered.study.store.folder import Store
from tapered.study.store.runs import Branch, Bundle, Run, run_key
from tapered.training.rows import Path

Score = tuple[int, float]
Known = Mapping[str, Run]


def lost_at(planned: Planned, alive: Forest, rung: int, known: Known) -> set[str]:
    """The keys of the runs that end at a rung.

    Args:
        planned: The study.
        alive: The runs that came to the rung.
        rung: Its step.
        known: Runs and probes by key, as far as they are.
    """
    out = peaks_lost(planned, alive, rung, known)
    return out | arms_lost(planned, alive.without(out), rung, known)


def peaks_lost(planned: Planned, alive: Forest, rung: int, known: Known) -> set[str]:
    """The runs of every tuned arm's worse peaks, by the mean of the metric at the rung; diverged ones are worst."""
    found: set[str] = set()
    for arm in _tuned(planned):
        at: dict[float | None, list[Run]] = {}
        for task in alive.tasks:
            if task.run.arm == arm:
                at.setdefault(task.run.peak, []).append(known[task.run.key])
        scores = {peak: _score(planned, [_value(run, rung, planned) for run in runs]) for peak, runs in at.items()}
        found |= {run.key for peak in _worse(planned, scores) for run in at[peak]}
    return found


def arms_lost(planned: Planned, alive: Forest, rung: int, known: Known) -> set[str]:
    """The runs of the worse arms, by the ends of their probes, each arm at the best of its peaks."""
    values: dict[str, dict[float | None, list[float | None]]] = {}
    for task in _probed(planned, alive):
        probe = known.get(probe_key(planned, task.run, rung))
        value = None if probe is None else _value(probe, probe.steps, planned)
        values.setdefault(task.run.arm, {}).setdefault(task.run.peak, []).append(value)
    scores = {arm: min(_score(planned, column) for column in at.values()) for arm, at in values.items()}
    out = set(_worse(planned, scores)) - planned.study.compared_with
    return {task.run.key for task in alive.tasks if task.run.arm in out}


def _tuned(planned: Planned) -> list[str]:
    return [arm.name for arm in planned.study.arms if not arm.fixed]


def _value(run: Run, step: int, planned: Planned) -> float | None:
    """The metric of a run at a step; None where it diverged before or is not finite."""
    found = next((point[planned.study.metric] for at, point in run.curve if at == step), float("nan"))
    return found if isfinite(found) else None


def _score(planned: Planned, values: Sequence[float | None]) -> Score:
    """Fewest diverged, then the best mean: lower is better."""
    whole = [value for value in values if value is not None]
    sign = 1.0 if planned.study.direction == "minimize" else -1.0
    return len(values) - len(whole), sign * sum(value / len(whole) for value in whole)


def _worse(planned: Planned, scores: Mapping[Any, Score]) -> list[Any]:
    """Those that do not go on."""
    if planned.study.prune is None or not scores:
        return []
    last = sorted(scores.values())[planned.study.prune.kept(len(scores)) - 1]
    return [name for name, score in scores.items() if score > last]


def _probe_steps(planned: Planned, rung: int) -> int:
    """How long a probe is; 0 where the study has none."""
    share = planned.study.prune.probe if planned.study.prune else None
    return 0 if share is None else max(1, min(round(share * planned.steps), planned.steps - rung))


def probe_key(planned: Planned, run: Run, rung: int) -> str:
    """The key of a run's probe at a rung."""
    return run_key({"probe of": run.key, "at": rung, "steps": _probe_steps(planned, rung)})


def _probed(planned: Planned, alive: Forest) -> list[Task]:
    """What is probed: tuned runs, where the study has probes."""
    tuned = set(_tuned(planned)) if planned.study.prune and planned.study.prune.probe else set()
    return [task for task in alive.tasks if task.run.arm in tuned]


def probes_of(planned: Planned, alive: Forest, rung: int) -> Forest:
    """The probes of the tuned runs that came to a rung: each its own path up to there, then a cooldown to 0."""
    end = rung + _probe_steps(planned, rung)
    arms = {arm.name: arm for arm in planned.study.arms}
    paths: dict[tuple[str, float | None], Path] = {}
    tasks = []
    for task in _probed(planned, alive):
        cell = (task.run.arm, task.run.peak)
        if cell not in paths:
            rate = arms[task.run.arm].schedule(planned.steps, task.run.peak).cooldown(rung, end - rung)
            path = arms[task.run.arm].path(planned.steps, task.run.peak, lr=rate)
            paths[cell] = Path(path.rule, {name: values[:end] for name, values in path.hypers.items()})
        run = replace(task.run, key=probe_key(planned, task.run, rung), steps=end, probe=True)
        tasks.append(Task(run, task.rule, paths[cell], end))
    return replace(alive, tasks=tuple(tasks), marks=(end,))


def begin(planned: Planned, alive: Forest, rung: int, store: Store) -> Forest:
    """Fork the probes that are not begun yet from the rows that stand at the rung, a row for each trunk.

    Returns:
        All probes that are begun: those whose trunk has not diverged.
    """
    probes = probes_of(planned, alive, rung)
    known = {key for bundle in store.bundles() for key in bundle.keys}
    trunks = dict(zip((t.run.key for t in probes.tasks), (t.run.key for t in _probed(planned, alive)), strict=True))
    waiting = [branch for branch in _leaves(probes, rung) if known.isdisjoint(branch.keys)]
    for bundle in store.bundles():
        places = {key: place for place, branch in enumerate(bundle.live) for key in branch.keys}
        mine = [(branch, places[trunks[branch.keys[0]]]) for branch in waiting if trunks[branch.keys[0]] in places]
        if mine:
            rows = store.rows(bundle, alive.rule(bundle)).take([place for _, place in mine])
            branches = zip((branch for branch, _ in mine), rows.losses, strict=True)
            store.put(Bundle(tuple(replace(branch, losses=losses) for branch, losses in branches)), rows)
    begun = {key for bundle in store.bundles() for key in bundle.keys}
    return probes.without(set(trunks) - begun)


def _leaves(probes: Forest, rung: int) -> Iterator[Branch]:
    """What the probes are at the rung: two that have one path are one row."""
    for segment in probes.plan.segments:
        if segment.stop == probes.marks[-1]:
            yield Branch(tuple(probes.tasks[i].run for i in segment.runs), step=rung)


def drop(store: Store, keys: Collection[str], rung: int, alive: Forest) -> None:
    """Let go of the rows of pruned runs; a bundle at a time, and what is cut off is found again by who looks."""
    out = set(keys)
    for bundle in store.bundles():
        if any(not branch.finished and not out.isdisjoint(branch.keys) for branch in bundle.branches):
            left, places = bundle.pruned(out, rung)
            store.put(left, store.rows(bundle, alive.rule(bundle)).take(places) if places else None)


def replay(round_: Round, known: Known) -> dict[str, int]:
    """Run key -> the step at which it was pruned, or would have been where every run went to its end."""
    alive, found = round_.forest, dict[str, int]()
    for rung in round_.rungs:
        out = lost_at(round_.planned, alive, rung, known)
        found |= dict.fromkeys(out, rung)
        alive = alive.without(out)
    return found


def pruning_of(round_: Round, known: Known) -> Pruning | None:
    """What pruning saved in a round, or would have; None where it has no rungs. Its runs must be finished."""
    if not round_.rungs:
        return None
    lost, planned, runs = replay(round_, known), round_.planned, round_.runs(known)
    steps = {run.key: min(run.step, lost.get(run.key, run.step)) for run in runs}
    reached = {run.key: run.step if run.pruned is None else run.steps for run in runs}
    probes, charged = _probe_updates(round_, known)
    tuned = [arm for arm in planned.study.arms if planned.whole and not arm.fixed]
    kept = [run for run in runs if run.key not in lost]
    best = {arm.name: (best_of(planned, arm, kept), best_of(planned, arm, runs)) for arm in tuned}
    ends = {
        name: _score(planned, [_value(run, run.steps, planned) for run in b.runs]) for name, (_, b) in best.items() if b
    }
    return Pruning(
        of=round_.forest.updates(reached),
        saved=round_.forest.updates(reached) - round_.forest.updates(steps),
        probes=probes,
        charged=charged,
        chosen=tuple((name, a.peak if a else None, b.peak if b else None) for name, (a, b) in best.items()),
        winner=min(ends, key=lambda name: ends[name], default=None),
    )


def _probe_updates(round_: Round, known: Known) -> tuple[int, dict[str, int]]:
    """Updates that probes made, and those of each arm, every run by itself."""
    made, charged = 0, dict[str, int]()
    alive = round_.forest
    for rung in round_.rungs:
        alive = alive.without(peaks_lost(round_.planned, alive, rung, known))
        probes = probes_of(round_.planned, alive, rung)
        made += sum(known[b.keys[0]].step - rung for b in _leaves(probes, rung) if b.keys[0] in known)
        for task in probes.tasks:
            steps = known[task.run.key].step - rung if task.run.key in known else 0
            charged[task.run.arm] = charged.get(task.run.arm, 0) + steps
        alive = alive.without(arms_lost(round_.planned, alive, rung, known))
    return made, charged
