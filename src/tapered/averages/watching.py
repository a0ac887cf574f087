"""What an average does around a step: it looks before the update, and takes the weights after it."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from tapered.attach.layers import has, maker
from tapered.attach.updates import moves, skipped
from tapered.averages.counting import at_hand, looked_up
from tapered.optim.parameters import only_initialises


class Watching:
    """The hooks of an average; `LiveAverage` says what is averaged.

    Args:
        optimizer: as it was given; None where a model is told of by hand.
    """

    def __init__(self, optimizer: torch.optim.Optimizer | None) -> None:
        self.optimizer, self.updates = optimizer, 0
        self._at: int | None = None  # where the optimizer's own count stood after the latest update
        self._loaded = False  # a state was loaded since the latest update
        self._applied = self._within = self._made = False
        self._handles = [] if optimizer is None else self._hooked(optimizer)

    def _hooked(self, outer: torch.optim.Optimizer) -> list[Any]:
        inner = maker(outer)
        handles = [inner.register_step_pre_hook(self._before), inner.register_step_post_hook(self._after)]
        if outer is not inner:  # which may move the weights once more after the inner one's step
            handles += [outer.register_step_pre_hook(self._enter), outer.register_step_post_hook(self._leave)]
        for each in {id(o): o for o in (outer, inner) if has(o, "state_dict_pre", "load_state_dict_pre")}.values():
            handles += [each.register_state_dict_pre_hook(self._saving)]
            handles += [each.register_load_state_dict_pre_hook(self._loading)]
        return handles

    def detach(self) -> None:
        """Let the optimizer go; what was averaged stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _outside(self, call: str) -> None:
        """No average is lent."""
        raise NotImplementedError

    def _settle(self) -> None:
        """Before an update: what was loaded fits together."""
        raise NotImplementedError

    def _join(self) -> None:
        """What joined has stood still until now."""
        raise NotImplementedError

    def _value(self, step: int) -> float:
        """What of the weights after the update of this step is taken."""
        raise NotImplementedError

    def _take(self) -> None:
        """Count an update, and take the weights after it where they are due."""
        raise NotImplementedError

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # torch.compile would trace into it
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Whether this is an update that counts; refused where it must not be made."""
        self._outside("step")
        self._applied = False
        closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
        if closure is None and (skipped(optimizer) or not moves(optimizer.param_groups)):
            return None
        if closure is None and not optimizer.state and only_initialises(optimizer):
            return None
        self._settle()
        self._join()
        self._value(self.updates)  # a ramp may have none
        if self.optimizer is not None:
            self._at = at_hand(self.optimizer)
        if closure is None:
            self._applied = True
            return None
        watched = self._watched(optimizer, closure)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    def _watched(self, optimizer: torch.optim.Optimizer, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure; after it ran there are gradients, or there are none."""

        @functools.wraps(closure)
        def watched() -> Any:
            loss = closure()
            self._applied = moves(optimizer.param_groups)
            return loss

        return watched

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _after(self, *_: Any) -> None:
        """Once, also where a class calls its parent's `step`."""
        if not self._applied:
            return
        self._applied = False
        self._at = None if self._at is None else self._at + 1
        if self._within:
            self._made = True
        else:
            self._take()

    def _enter(self, *_: Any) -> None:
        """An optimizer around the one that makes the updates moves the weights until it is left."""
        self._within, self._made = True, False

    def _leave(self, *_: Any) -> None:
        made, self._within, self._made = self._made, False, False
        if made:
            self._take()

    def _saving(self, *_: Any) -> None:
        self._outside("the optimizer's state_dict")

    def _loading(self, *_: Any) -> None:
        """Before the optimizer loads a state: where it stood is where the average stands."""
        self._outside("the optimizer's load_state_dict")
        if not self._loaded and self.optimizer is not None:
            self._at, self._loaded = looked_up(self.optimizer), True
