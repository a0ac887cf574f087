"""A study's runs as trees: what shares a row, where rows fork, which trees are trained together.

    row ─────●─────●──┬──●─────●── end        ● evaluation mark: one evaluation counts for every run below
                      ├──●─────●── end        ┬ fork: the row is taken once for each child
                      ╰──●──x diverged        x recorded for every run below, and no longer trained

A bundle is a set of whole trees of one rule, whose rows advance together from event to event.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from tapered.files.errors import StoreError
from tapered.rules import Rule
from tapered.study.file.read import workload_in
from tapered.study.file.script import Scripted
from tapered.study.plan.prefixes import Plan, share
from tapered.study.plan.tasks import Task, parted, parting, tables
from tapered.study.store.runs import Branch, Bundle, Run
from tapered.training.rows import Path
from tapered.training.workload import Workload
from tapered.words import brief

Tree = tuple[int, ...]


@brief
@dataclass(frozen=True)
class Forest:
    """All runs of a study and the tree of segments that they share.

    Args:
        subject: What is trained.
        tasks: The runs, all of as many steps.
        marks: The steps at which they are evaluated, ascending.
        shared: False plans every run by itself.
        mode: How rows are to be trained; "auto" leaves it to a probe.
    """

    subject: Workload | Scripted
    tasks: tuple[Task, ...]
    marks: tuple[int, ...]
    shared: bool = True
    mode: Literal["auto", "loop", "rows", "rows compiled"] = "auto"

    @property
    def workload(self) -> Workload:
        """The workload that is trained."""
        return workload_in(self.subject)

    @cached_property
    def plan(self) -> Plan:
        """Segments, whose runs are indices of ``tasks``."""
        groups = [(task.rule, task.run.seed, None if self.shared else task.run.key) for task in self.tasks]
        return share(tables(self.tasks), groups)

    @cached_property
    def least(self) -> int:
        """Updates to run if no rate ever changes, which is as few as there can be; those of ``plan`` are the most."""
        if not self.follows:
            return self.plan.to_run
        blind = (replace(task, known=task.path.steps, follows=None) for task in self.tasks)
        return replace(self, tasks=tuple(blind)).plan.to_run

    @cached_property
    def follows(self) -> bool:
        """Whether the rate of a run follows what it tells."""
        return any(task.follows is not None for task in self.tasks)

    def told(self, runs: Iterable[Run | Branch]) -> "Forest":
        """The forest as these runs have come: those that follow what they told have the rates that they decided on.

        Up to the next step at which one may decide, runs share what they share; from there on none with another.
        """
        if not self.follows:
            return self
        tasks = list(self.tasks)
        for run in runs:
            for key in run.keys:
                place = self.place.get(key)
                if place is not None and tasks[place].follows is not None:
                    tasks[place] = tasks[place].after(run, self.marks)
        return replace(self, tasks=tuple(tasks))

    def listened(self, branch: Branch) -> bool:
        """Whether a run of a branch is told the training loss of the update that was just made."""
        following = [self.tasks[self.place[key]].follows for key in branch.keys]
        every = {found.observed.every for found in following if found is not None}
        return any(count is not None and branch.step % count == 0 for count in every)

    @cached_property
    def place(self) -> dict[str, int]:
        """Run key -> its index in ``tasks``."""
        return {task.run.key: i for i, task in enumerate(self.tasks)}

    @cached_property
    def _children(self) -> dict[tuple[int, ...], list[tuple[int, ...]]]:
        """The runs of a segment -> the runs of each of its children."""
        segments = self.plan.segments
        found: dict[tuple[int, ...], list[tuple[int, ...]]] = {segment.runs: [] for segment in segments}
        for segment in segments:
            if segment.parent is not None:
                found[segments[segment.parent].runs].append(segment.runs)
        return found

    @cached_property
    def _stops(self) -> dict[tuple[int, ...], int]:
        return {segment.runs: segment.stop for segment in self.plan.segments}

    def _segment(self, branch: Branch) -> tuple[int, ...]:
        """The runs of the segment a branch is in, which identify it."""
        runs = tuple(sorted(self.place.get(key, -1) for key in branch.keys))
        if runs[0] < 0 or not (self.follows or runs in self._stops):
            raise StoreError(f"run {branch.keys[0]} was kept beside others than this study's plan; try --store DIR")
        return runs

    def stop(self, branch: Branch) -> int:
        """The step at which a branch forks, ends, or may fork as one of its runs may decide."""
        runs = self._segment(branch)
        return parting([self.tasks[i] for i in runs], branch.step) if self.follows else self._stops[runs]

    def forks(self, branch: Branch) -> list[Branch]:
        """The branches that a branch goes on as; itself where it is not at its segment's end."""
        runs, stop = self._segment(branch), self.stop(branch)
        if branch.step < stop or stop == branch.runs[0].steps:
            return [branch]
        if self.follows:
            parts = parted([self.tasks[i] for i in runs], branch.step)
        else:
            parts = [[self.tasks[i] for i in child] for child in self._children[runs]]
        return [replace(branch, runs=tuple(task.run for task in part)) for part in parts]

    def path(self, branch: Branch) -> Path:
        """The hypers of a branch, up to its segment's end at least."""
        return self.tasks[self.place[branch.keys[0]]].path

    def rule(self, bundle: Bundle) -> Rule:
        """The rule of a bundle of this forest."""
        return next(self.tasks[self.place[key]].rule for key in bundle.keys if key in self.place)

    def holds(self, bundle: Bundle) -> bool:
        """Whether some of a bundle's runs are in this forest."""
        return any(key in self.place for key in bundle.keys)

    def without(self, keys: Collection[str]) -> "Forest":
        """The forest of the other runs: where these were pruned, no row forks for them any more."""
        return replace(self, tasks=tuple(task for task in self.tasks if task.run.key not in keys))

    def within(self, bundle: Bundle) -> "Forest":
        """The forest of a bundle's runs."""
        tasks = tuple(self.tasks[self.place[key]] for key in bundle.keys if key in self.place)
        return replace(self, tasks=tasks).told(bundle.branches)

    def first_event(self, branches: Sequence[Branch]) -> int:
        """The first step at which one of the branches is evaluated, decides, forks or ends."""
        step = min(branch.step for branch in branches)
        mark = next((mark for mark in self.marks if mark > step), self.marks[-1])
        return min(mark, *(self.stop(branch) for branch in branches))

    @cached_property
    def rules(self) -> tuple[Rule, ...]:
        """The rules, in the order of the tasks."""
        return tuple(dict.fromkeys(task.rule for task in self.tasks))

    def trees(self, rule: Rule) -> list[Tree]:
        """The trees of a rule, each as the indices of its segments."""
        return [tree for tree in self.plan.trees if self._first(tree).rule == rule]

    def steps(self, rule: Rule) -> int:
        """Updates that the runs of a rule take, each shared one once."""
        return sum(self.plan.segments[i].steps for tree in self.trees(rule) for i in tree)

    def _first(self, tree: Tree) -> Task:
        return self.tasks[self.plan.segments[tree[0]].runs[0]]

    def bundles(self, rule: Rule, rows: int, known: Collection[str] = ()) -> list[Bundle]:
        """The trees of a rule in even bundles of at most so many rows, at least a tree each.

        Args:
            rule: The rule.
            rows: The most rows of a bundle.
            known: Keys of runs whose trees are left out.
        """
        trees = [tree for tree in self.trees(rule) if self._first(tree).run.key not in known]
        widths = [self.plan.width(tree) for tree in trees]
        even = sum(widths) / max(1, -(-sum(widths) // rows))
        parts: list[list[Tree]] = []
        width = 0
        for tree, more in zip(trees, widths, strict=True):
            if not parts or width + more > even:
                parts.append([])
                width = 0
            parts[-1].append(tree)
            width += more
        return [self._bundle(part) for part in parts]

    def _bundle(self, trees: Sequence[Tree]) -> Bundle:
        roots = (self.plan.segments[tree[0]] for tree in trees)
        return Bundle(tuple(Branch(tuple(self.tasks[i].run for i in root.runs)) for root in roots))

    def updates(self, steps: Mapping[str, int]) -> int:
        """Updates behind runs that are at these steps, each once; runs that are not named are at 0."""
        at = [steps.get(task.run.key, 0) for task in self.tasks]
        reached = ((segment, max(at[run] for run in segment.runs)) for segment in self.plan.segments)
        return sum(max(0, min(step, segment.stop) - segment.start) for segment, step in reached)
