"""The rates that an optimizer's updates used: tapered's, torch's under any scheduler, anybody's with hooks.

optimizer.step() ─► hook after it, after a clock's ─► {"lr/0": the rate of that update} at the count of updates
"""

from collections.abc import Iterable, Mapping
from functools import partial

import torch

from tapered.attach import clock_of
from tapered.attach.layers import maker, takes_hooks
from tapered.loggers.kinds import Tell
from tapered.optim import Optimizer
from tapered.scripts.counting import made


class Rates:
    """The rates that an optimizer's updates used, told after each.

    Args:
        tell: Takes a step and numbers by name.
        optimizer: Whose `step` makes the updates.
        every: Tells those of every so many.
    """

    def __init__(self, tell: Tell, optimizer: torch.optim.Optimizer, every: int) -> None:
        self._tell, self._optimizer, self._every = tell, optimizer, every
        self._loaded()
        self._handles = [
            optimizer.register_step_post_hook(self._after),
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_load_state_dict_post_hook(self._loaded),
        ]

    def remove(self) -> None:
        """Let the optimizer go."""
        for handle in self._handles:
            handle.remove()

    def _loaded(self, *_: object) -> None:
        self.step = made(self._optimizer) or 0

    def _before(self, *_: object) -> None:
        """A clock that was attached later counts before this is called all the same."""
        vars(self._optimizer)["_optimizer_step_post_hooks"].move_to_end(self._handles[0].id)

    def _after(self, *_: object) -> None:
        clock = clock_of(self._optimizer)
        if clock is not None:
            count, used = clock.step, clock.last_lr
        elif isinstance(self._optimizer, Optimizer):
            count, used = self._optimizer.steps, self._optimizer.last_lr
        else:
            count, used = self.step + 1, tuple(group["lr"] for group in self._optimizer.param_groups)
        if count == self.step:  # a step without any gradient is no update
            return
        self.step = count
        if count % self._every == 0:
            names = [str(group.get("name", i)) for i, group in enumerate(self._optimizer.param_groups)]
            self._tell(count, {f"lr/{name}": float(lr) for name, lr in zip(names, used, strict=False)})


class Latest:
    """The rates of a trainer's newest updates, kept until they are told, at the trainer's own step.

    Args:
        optimizers: The trainer's. Of several the names begin with the place of theirs, as "lr/1/0".

    Raises:
        TypeError, ValueError: One takes no hooks.
    """

    def __init__(self, optimizers: Iterable[torch.optim.Optimizer]) -> None:
        self._found: dict[str, float] = {}
        each = [maker(optimizer) for optimizer in optimizers]
        for optimizer in each:
            takes_hooks(optimizer, "log_to")
        places = [""] if len(each) == 1 else [f"{place}/" for place in range(len(each))]
        self._rates = [Rates(partial(self._keep, place), one, 1) for place, one in zip(places, each, strict=True)]

    def _keep(self, place: str, _: int, values: Mapping[str, float]) -> None:
        self._found |= {f"lr/{place}{name.removeprefix('lr/')}": value for name, value in values.items()}

    def take(self) -> dict[str, float]:
        """Those that were used since this was last asked, the newest of each group."""
        found, self._found = self._found, {}
        return found

    def remove(self) -> None:
        """Let the optimizers go."""
        for rates in self._rates:
            rates.remove()
