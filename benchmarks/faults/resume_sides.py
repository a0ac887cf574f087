"""The three sides of the resume matrix: how each starts a run, saves it, and loads it in every order."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from resume_cases import Case

import tapered
from tapered.attach import attach

DONE = 7  # steps before the stop
States = Mapping[str, Any]


@dataclass
class Run:
    """One weight under a gradient that is always 1: Adam moves it by the rate."""

    weight: torch.nn.Parameter
    optimizer: torch.optim.Optimizer
    schedule: Any = None  # torch's scheduler, or attach's clock

    def step(self) -> float:
        """One update; the rate that it used, read off the weight."""
        before = self.weight.item()
        self.weight.grad = torch.ones_like(self.weight)
        self.optimizer.step()
        if isinstance(self.schedule, torch.optim.lr_scheduler.LRScheduler):
            self.schedule.step()
        return before - self.weight.item()

    def states(self) -> States:
        return {
            name: part.state_dict()
            for name, part in (("optimizer", self.optimizer), ("schedule", self.schedule))
            if part is not None
        }


@dataclass(frozen=True)
class Side:
    """How a run begins, and how one goes on after each order of loading."""

    start: Callable[[Case], Run]
    orders: Mapping[str, Callable[[Case, States], Run]]


def made(kind: type[torch.optim.Optimizer], lr: Any) -> Run:
    weight = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
    return Run(weight, kind([weight], lr=lr))


def scheduled(case: Case) -> Run:
    run = made(torch.optim.Adam, 1.0)
    run.schedule = case.make(run.optimizer, -1)
    return run


def load(run: Run, states: States, *names: str) -> Run:
    """The named states loaded in the order named."""
    for name in names:
        getattr(run, name).load_state_dict(states[name])
    return run


def built_between(case: Case, states: States) -> Run:
    run = load(made(torch.optim.Adam, 1.0), states, "optimizer")
    run.schedule = case.make(run.optimizer, -1)
    return load(run, states, "schedule")


def by_last_epoch(case: Case, states: States) -> Run:
    run = load(made(torch.optim.Adam, 1.0), states, "optimizer")
    run.schedule = case.make(run.optimizer, DONE - 1)
    return run


TORCH = Side(
    scheduled,
    {
        "load, build, load": built_between,
        "build, then both": lambda case, states: load(scheduled(case), states, "optimizer", "schedule"),
        "schedule only": lambda case, states: load(scheduled(case), states, "schedule"),
        "optimizer only": lambda case, states: load(scheduled(case), states, "optimizer"),
        "counter by hand": by_last_epoch,
    },
)


def ours(case: Case) -> Run:
    return made(tapered.Adam, case.schedule)


def changed(states: States, change: Callable[[dict[str, Any]], None]) -> States:
    copied = copy.deepcopy(dict(states))
    change(copied["optimizer"])
    return copied


def without_moments(state: dict[str, Any]) -> None:
    state["state"] = {}


def without_schedule(state: dict[str, Any]) -> None:
    """As torch's Adam would have saved it: moments and their counts."""
    for name in ("schedules", "step"):
        del state["param_groups"][0][name]


def counted_by_hand(state: dict[str, Any]) -> None:
    """As an optimizer saves it that counts nothing; the user says how many updates there were."""
    without_schedule(state)
    for moments in state["state"].values():
        del moments["step"]
    state["param_groups"][0]["step"] = DONE


OURS = Side(
    ours,
    {
        "load, build, load": lambda _, states: load(made(tapered.Adam, 1.0), states, "optimizer"),
        "build, then both": lambda case, states: load(ours(case), states, "optimizer"),
        "schedule only": lambda case, states: load(ours(case), changed(states, without_moments), "optimizer"),
        "optimizer only": lambda case, states: load(ours(case), changed(states, without_schedule), "optimizer"),
        "counter by hand": lambda case, states: load(ours(case), changed(states, counted_by_hand), "optimizer"),
    },
)


def clocked(case: Case, run: Run | None = None, step: int | None = None) -> Run:
    """torch's own Adam under a clock."""
    run = run or made(torch.optim.Adam, 1.0)
    run.schedule = attach(run.optimizer, lr=case.schedule, step=step)
    return run


def optimizer_loaded(states: States) -> Run:
    return load(made(torch.optim.Adam, 1.0), states, "optimizer")


ATTACH = Side(
    clocked,
    {
        "load, build, load": lambda case, states: load(clocked(case, optimizer_loaded(states)), states, "schedule"),
        "build, then both": lambda case, states: load(clocked(case), states, "optimizer", "schedule"),
        "schedule only": lambda case, states: load(clocked(case), states, "schedule"),
        "optimizer only": lambda case, states: load(clocked(case), states, "optimizer"),
        "counter by hand": lambda case, states: clocked(case, optimizer_loaded(states), step=DONE),
    },
)
SIDES = {"torch": TORCH, "tapered": OURS, "attach": ATTACH}
