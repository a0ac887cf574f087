"""The witness begins with the first optimizer that is made or steps: what it needs of torch is imported then.

torch.optim.Optimizer(...), its rates as it is made ─► `choosing.Witness` ◄─ before its first step, torch's hook
"""

import functools
from typing import TYPE_CHECKING, Any

import torch.optim.optimizer as optimizers

from tapered.scripts.current import ScriptRun

if TYPE_CHECKING:
    from tapered.scripts.choosing import Witness


def watch_making(run: ScriptRun, *, sets: bool) -> None:
    """Let every optimizer be met at its first step.

    Args:
        run: what is asked.
        sets: whether rates are written, or only seen.
    """

    @functools.cache
    def witness() -> "Witness":
        from tapered.attach.updates import untraced  # noqa: PLC0415  # torch is being imported before
        from tapered.scripts.choosing import Witness  # noqa: PLC0415  # as above

        untraced(before)
        return Witness(run, met, sets=sets)

    met: dict[int, Any] = {}

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:  # noqa: ARG001  # torch's call
        if id(optimizer) not in met:
            witness().meet(optimizer)

    make = optimizers.Optimizer.__init__

    @functools.wraps(make)
    def made(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        witness().was_made(self)

    optimizers.Optimizer.__init__ = made  # type: ignore[method-assign]  # of them all
    optimizers.register_optimizer_step_pre_hook(before)
