"""Small runs on both sides into which a fault is put: arguments, functions, a change in mid-run, a damaged state.

torch's side is Adam with CosineAnnealingLR over 10 steps, ours is tapered's Adam with the same cosine as its rate.
"""

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from inputs.judge import Go
from torch import nn
from torch.optim import lr_scheduler as torchs

import tapered
from tapered import schedules as ours

COSINE = ours.cosine_decay(0.1, 10)
Acts = Iterator[list[torch.Tensor]]
Named = list[tuple[str, nn.Parameter]]
Change = Callable[[dict[str, Any]], object]
Shown = list[list[float]]


def cosine(optimizer: torch.optim.Optimizer, steps: int = 10) -> torchs.LRScheduler:
    return torchs.CosineAnnealingLR(optimizer, steps)


def weights(order: str = "ab", size: int = 3) -> Named:
    """Parameters of one shape; each has a gradient of its own wherever it stands."""
    made = [(name, nn.Parameter(torch.ones(size))) for name in order]
    for name, param in made:
        param.slope = float(ord(name) - ord("a") + 1)
    return made


def train(optimizer: torch.optim.Optimizer, scheduler: Any = None, steps: int = 1) -> Shown:
    """Updates down slopes of squares; the rates shown after each, group by group."""
    shown = []
    for _ in range(steps):
        for param in parameters(optimizer):
            param.grad = param.slope * param.detach()
        optimizer.step()
        # torch's scheduler has not moved yet; tapered's groups show the coming rates already
        groups = optimizer.param_groups
        shown.append(list(getattr(optimizer, "last_lr", [float(group["lr"]) for group in groups])))
        if scheduler is not None:
            scheduler.step()
    return shown


def parameters(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [param for group in optimizer.param_groups for param in group["params"]]


def right(shown: Shown, start: int, schedule: ours.Schedule = COSINE) -> bool:
    """The rates are the schedule's."""
    wanted = schedule.table(start + len(shown), start).tolist()
    return all(math.isclose(a, b, rel_tol=1e-9) for rates, b in zip(shown, wanted, strict=True) for a in rates)


def sides(theirs: Callable[[], Acts], mine: Callable[[], Acts]) -> Go:
    return lambda side: mine() if side == "ours" else theirs()


def argument(theirs: Callable[[torch.optim.Optimizer], Any], mine: Callable[[], ours.Schedule]) -> Go:
    """A bad argument: a scheduler or a schedule is made with it and followed."""

    def torchs_acts() -> Acts:
        optimizer = torch.optim.Adam(weights(), lr=0.1)
        yield parameters(optimizer)
        train(optimizer, theirs(optimizer), 6)

    def our_acts() -> Acts:
        named = weights()
        yield [param for _, param in named]
        train(tapered.Adam(named, lr=mine()), steps=6)

    return sides(torchs_acts, our_acts)


def function(value: Any) -> Go:
    """A user's function that breaks at step 2."""

    def asked(step: int) -> Any:
        return value if step == 2 else 1.0

    def torchs_acts() -> Acts:
        optimizer = torch.optim.Adam(weights(), lr=0.1)
        scheduler = torchs.LambdaLR(optimizer, asked)
        train(optimizer, scheduler)
        train(optimizer)
        yield parameters(optimizer)
        scheduler.step()
        train(optimizer)

    def our_acts() -> Acts:
        optimizer = tapered.Adam(weights(), lr=0.1 * ours.from_function(asked))
        train(optimizer, steps=2)
        yield parameters(optimizer)
        train(optimizer)

    return sides(torchs_acts, our_acts)


def nothing(_: dict[str, Any]) -> None:
    """The state is as it was; the run that it is loaded into is another."""


@dataclass(frozen=True)
class Rate:
    """A rate on both sides."""

    theirs: Callable[[torch.optim.Optimizer], torchs.LRScheduler]
    mine: Any


COSINES = Rate(cosine, COSINE)


def amid(
    theirs: Callable[[torch.optim.Optimizer, Any], Shown],
    mine: Callable[[torch.optim.Optimizer], Shown],
    at: int,
    run: Rate = COSINES,
) -> Go:
    """Something that is done to a good run after `at` updates."""

    def torchs_acts() -> Acts:
        optimizer = torch.optim.Adam(weights(), lr=0.1)
        scheduler = run.theirs(optimizer)
        train(optimizer, scheduler, at)
        yield parameters(optimizer)
        return right(theirs(optimizer, scheduler), at, run.mine)

    def our_acts() -> Acts:
        optimizer = tapered.Adam(weights(), lr=run.mine)
        train(optimizer, steps=at)
        yield parameters(optimizer)
        return right(mine(optimizer), at, run.mine)

    return sides(torchs_acts, our_acts)


def state(
    theirs: Change = nothing,
    mine: Change = nothing,
    *,
    run: Rate = COSINES,
    into: Rate | None = None,
    wanted: ours.Schedule | None = None,
    named: Callable[[], Named] = weights,
    optimizer_first: bool = False,
) -> Go:
    """A state damaged after three updates and loaded into a fresh run; what follows may still be right.

    Args:
        theirs: the damage to torch's two states, under "optimizer" and "scheduler".
        mine: the damage to our one.
        run: the rate of the saved run.
        into: the rate of the fresh one, the same unless given.
        wanted: the rate that should follow, the saved run's unless given.
        named: the fresh run's parameters.
        optimizer_first: torch's scheduler is built after the optimizer's state is loaded.
    """
    fresh, wanted = into or run, wanted or run.mine

    def torchs_acts() -> Acts:
        first = torch.optim.Adam(weights(), lr=0.1)
        before = run.theirs(first)
        train(first, before, 3)
        saved = copy.deepcopy({"optimizer": first.state_dict(), "scheduler": before.state_dict()})
        theirs(saved)
        second = torch.optim.Adam(named(), lr=0.1)
        follow(first, second)
        yield parameters(second)
        if optimizer_first:
            second.load_state_dict(saved.pop("optimizer"))
        after = fresh.theirs(second)
        for part, whole in (("optimizer", second), ("scheduler", after)):
            if part in saved:
                whole.load_state_dict(saved[part])
        return followed(second, wanted, after)

    def our_acts() -> Acts:
        first = tapered.Adam(weights(), lr=run.mine)
        train(first, steps=3)
        saved = copy.deepcopy(first.state_dict())
        mine(saved)
        second = tapered.Adam(named(), lr=fresh.mine)
        follow(first, second)
        yield parameters(second)
        second.load_state_dict(saved)
        return followed(second, wanted)

    return sides(torchs_acts, our_acts)


def follow(first: torch.optim.Optimizer, second: torch.optim.Optimizer) -> None:
    """The weights of the run that was stopped, by name."""
    stopped = {param.slope: param.detach() for param in parameters(first)}
    for param in parameters(second):
        if param.shape == stopped[param.slope].shape:
            param.data.copy_(stopped[param.slope])


def followed(optimizer: torch.optim.Optimizer, wanted: ours.Schedule, scheduler: Any = None) -> bool:
    """The rates of steps 3 to 5 are those wanted, and the weights end where those of a run end that nobody stopped."""
    shown = train(optimizer, scheduler, 3)
    straight = tapered.Adam(weights(), lr=wanted)
    train(straight, steps=6)
    ends = {param.slope: param.detach() for param in parameters(straight)}
    same = all(torch.allclose(param.detach(), ends[param.slope], rtol=1e-4) for param in parameters(optimizer))
    return same and right(shown, 3, wanted)


def of_optimizer(change: Change) -> dict[str, Change]:
    """The same damage to the optimizer's state on both sides."""
    return {"theirs": lambda saved: change(saved["optimizer"]), "mine": change}
