"""torch's schedulers on top of a number, and tapered's that only shows."""

import warnings
from typing import Any

from hypothesis import strategies as st
from machine_changes import Changes
from machine_updates import operation
from torch.optim import lr_scheduler

from tapered.attach import as_lr_scheduler

SCHEDULERS = {
    "linear": lambda o, **_: lr_scheduler.LinearLR(o, start_factor=0.25, total_iters=6),
    "cosine": lambda o, **_: lr_scheduler.CosineAnnealingLR(o, T_max=8),
    "exponential": lambda o, **_: lr_scheduler.ExponentialLR(o, 0.8),
    "cycle": lambda o, **named: lr_scheduler.OneCycleLR(o, 0.2, total_steps=200, **named),
    "plateau": lambda o, **_: lr_scheduler.ReduceLROnPlateau(o, patience=1),
}


class Schedulers(Changes):
    """The part of a history that schedulers drive or show."""

    by_torch: Any = None  # makes the scheduler of torch's that is on top

    def plain(self) -> bool:
        world = self.world
        followed = any(group.follows is not None for group in world.oracle.groups)
        return world.clock is None and not followed and self.written() and self.calm()

    @operation(plain, name=st.sampled_from(sorted(SCHEDULERS)))
    def schedule_by_torch(self, name: str) -> None:
        world = self.world
        cycles = world.config.kind.torchs and not any(group.others for group in world.oracle.groups)
        there = "betas" in world.shadow.defaults or world.shadow.defaults.get(
            "momentum"
        )  # torch's RMSprop dies across 0
        named = {"cycle_momentum": cycles and bool(there)}
        for group in world.oracle.groups:
            group.made = group.number  # a script that goes on builds the scheduler upon what it was built upon
        self.by_torch = lambda optimizer: SCHEDULERS[name](optimizer, **named)
        world.schedulers = self.by_torch(world.optimizer), self.by_torch(world.shadow)
        self.reread()

    @operation(lambda self: self.world.schedulers is not None, times=st.integers(1, 3))
    def tick(self, times: int) -> None:
        for scheduler in self.world.schedulers * times:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of an order that torch only guesses
                plateau = isinstance(scheduler, lr_scheduler.ReduceLROnPlateau)
                scheduler.step(*[1.0] * plateau)
        self.reread()

    @operation()
    def look(self) -> None:
        """What shows rates shows those of the next update."""
        world, oracle = self.world, self.world.oracle
        for index, found in enumerate(self.verbs.schedules):
            follows = oracle.groups[index].follows
            assert ("lr" in found) == (follows is not None), f"group {index} follows {found}"
            if follows is not None:
                rate, wanted = found["lr"](oracle.step) * oracle.groups[index].scale, oracle.rate(index)
                assert abs(rate - wanted) <= (1e-6 if world.config.tensor else 1e-12) * wanted, found
        assert repr(self.verbs)
        world.joined.clear()
        if world.clock is None and not any(self.verbs.schedules):
            return
        scheduler = as_lr_scheduler(self.verbs)
        scheduler.step()
        assert [float(lr) for lr in scheduler.get_last_lr()] == [float(group["lr"]) for group in world.groups]
        assert scheduler.last_epoch == oracle.step
        assert len(scheduler.base_lrs) == len(scheduler._last_lr) == len(world.groups)
