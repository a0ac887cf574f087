"""For code that insists on a torch `LRScheduler`: one that shows the rates and leaves them alone."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler

from tapered.attach.clock import Clock
from tapered.attach.layers import maker
from tapered.attach.make import clock_of
from tapered.optim import Optimizer


class FollowingScheduler(LRScheduler):
    """An `LRScheduler` whose `step()` does nothing: the rates follow the optimizer's applied updates.

    What others write to it (ignite sets `last_epoch`) is ignored.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, clock: Clock | None) -> None:
        # torch's own would step once, overwrite the rates and wrap optimizer.step
        self.optimizer, self.clock = optimizer, clock
        self._step_count = 0  # accelerate counts here
        self._stepped = self.last_epoch

    @property
    def last_epoch(self) -> int:
        """Completed updates."""
        if self.clock is not None:
            return self.clock.step
        return self.optimizer.steps  # type: ignore[attr-defined,no-any-return]  # tapered's

    @last_epoch.setter
    def last_epoch(self, value: int) -> None:
        """Ignored: the optimizer counts."""

    @property
    def base_lrs(self) -> list[float | Tensor]:
        """The rates that the groups were made with: their `initial_lr`, or that of the first update."""
        schedules = self._follower().schedules
        return [
            float(group.get("initial_lr", own["lr"](0) if "lr" in own else group["lr"]))
            for group, own in zip(self.optimizer.param_groups, schedules, strict=True)
        ]

    @base_lrs.setter
    def base_lrs(self, value: list[float | Tensor]) -> None:
        """Ignored: the schedules say them."""

    @property
    def _last_lr(self) -> list[float | Tensor]:
        """What torch's schedulers keep under this name, and loggers read."""
        return self.get_last_lr()

    @_last_lr.setter
    def _last_lr(self, value: list[float | Tensor]) -> None:
        """Ignored, as above."""

    def step(self, *args: Any, **kwargs: Any) -> None:  # noqa: ARG002  # torch's, and Trainers'
        """Nothing moves the rates but `optimizer.step()`; from now on `get_last_lr` gives the coming ones."""
        self._stepped = self.last_epoch

    def get_last_lr(self) -> list[float | Tensor]:
        """The rates, at the moments at which torch's schedulers give them.

        After `step()` those that the next update will use; between an update and `step()` those that it used.
        """
        return list(self._follower().last_lr) if self.last_epoch != self._stepped else self.get_lr()

    def get_lr(self) -> list[float | Tensor]:
        """The rates that the next update will use."""
        self._follower().heal()
        return [lr.clone() if isinstance(lr, Tensor) else lr for lr in (g["lr"] for g in self.optimizer.param_groups)]

    def _follower(self) -> Any:
        return self.optimizer if self.clock is None else self.clock

    def state_dict(self) -> dict[str, Any]:
        """The clock's; tapered's own optimizers keep theirs in their own state."""
        if self.clock is not None:
            return self.clock.state_dict()
        own = self._follower().schedules
        return {"schedules": [{name: str(schedule) for name, schedule in found.items()} for found in own]}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Load what `state_dict` returned. After a refusal the next step is refused, too.

        Raises:
            ValueError: another schedule, or no state of this.
        """
        try:
            self._load(state_dict)
        except Exception as error:
            self._follower().refuse(error)
            raise
        self._stepped = self.last_epoch

    def _load(self, state_dict: Mapping[str, Any]) -> None:
        self._ours(state_dict)
        own = self.state_dict()
        if self.clock is not None:
            self.clock.load_state_dict(state_dict)
        elif dict(state_dict) != own:
            raise ValueError(
                f"got schedules {state_dict['schedules']}; this optimizer's schedules are {own['schedules']}; build it "
                "with the saved ones, and once it is loaded optimizer.replace(lr=..., counted='now' or 'start')"
            )

    def _ours(self, state: Mapping[str, Any]) -> None:
        """It is the state of one of these, on an optimizer of the same kind."""
        kind = type(self.optimizer).__name__
        if "last_epoch" in state:
            done = state["last_epoch"]
            how = "" if self.clock is None else f", then attach(optimizer, lr=..., step={done})"
            raise ValueError(
                f"got the state of a torch scheduler at last_epoch={done}, whose rates this {kind} does not follow; to "
                f"take that run over, leave this state out and load the optimizer's{how}"
            )
        here, there = (_follows(found) for found in (self.state_dict(), state))
        if here != there:
            raise ValueError(f"got a state of {there}; this {kind} has {here}; build the optimizer as it was saved")


def _follows(state: Mapping[str, Any]) -> str:
    """What the optimizer has whose scheduler's state this is."""
    if "format" in state:
        return "a clock of attach"
    return "schedules of its own" if "schedules" in state else f"something else, with the keys {sorted(state)}"


def as_lr_scheduler(follower: torch.optim.Optimizer | Clock) -> LRScheduler:
    """A torch `LRScheduler` for Trainers that ask for one; stepping it, however often, changes nothing.

    Args:
        follower: a clock, an optimizer with one, or one of tapered's optimizers.

    Returns:
        A scheduler with `step()`, `get_last_lr()` (the rates in force), `state_dict()` and `load_state_dict()`.

    Raises:
        ValueError: an optimizer that follows nothing.

    Example:
        >>> import torch
        >>> from tapered.attach import attach
        >>> from tapered.schedules import linear
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> scheduler = as_lr_scheduler(attach(optimizer, lr=linear(0.1, 0.0, steps=10)))
        >>> scheduler.step()
        >>> scheduler.get_last_lr()
        [0.1]
    """
    clock = follower if isinstance(follower, Clock) else clock_of(follower)
    optimizer = follower.optimizer if isinstance(follower, Clock) else maker(follower)
    if clock is None and not isinstance(optimizer, Optimizer):
        raise ValueError(
            f"this {type(optimizer).__name__} follows no schedule of tapered's; try as_lr_scheduler(attach(optimizer, "
            "lr=schedule)), or torch's own schedulers"
        )
    return FollowingScheduler(optimizer, clock)
