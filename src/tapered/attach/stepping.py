"""What a clock does around a step: it looks before the update, counts after it, and writes the next one's values."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import torch

from tapered.attach.layers import HOOKS, around, has, maker
from tapered.attach.loads import Loads
from tapered.attach.saved import KEY
from tapered.attach.slots import Slot
from tapered.attach.updates import Groups, alone, moves, skipped, untraced
from tapered.optim.freezing import Freezing
from tapered.optim.parameters import only_initialises, uncounted


class Stepping:
    """The hooks of a clock; `Clock` says what is followed.

    Args:
        optimizer: as it was given.
    """

    step: int
    _loads: Loads
    _freezing: Freezing

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self.optimizer, self.maker, self.holder = optimizer, maker(optimizer), optimizer
        self.ready = -1  # the step whose update may be made without a look at what was loaded; below 0 none
        self._slots: list[Slot] = []
        self._handles: list[Any] = []
        self._applied = self._initialises = self._within = False
        self._used: tuple[float, ...] | None = None  # the rates of the last update, where a schedule does not say them

    @property
    def groups(self) -> Groups:
        """The optimizer's own; while it loads, those of the layer that has loaded."""
        return self.holder.param_groups

    @property
    def followers(self) -> int:
        """How many groups are followed."""
        raise NotImplementedError

    def regroup(self) -> None:
        """Take in groups that were added."""
        raise NotImplementedError

    def _thaw(self) -> None:
        """Have what is frozen now stand still, and the rest be trained."""
        raise NotImplementedError

    def numbers_of(self, late: list[Slot]) -> contextlib.AbstractContextManager[None]:
        """Around a look at numbers that others may have written into groups that came late."""
        raise NotImplementedError

    def _hooked(self) -> list[Any]:
        """Where the updates are made, they are counted; an optimizer around that one may read the rate after it."""
        outer, inner = self.optimizer, self.maker
        handles = [inner.register_step_pre_hook(self._before), inner.register_step_post_hook(self._after)]
        for optimizer in {id(o): o for o in (outer, inner) if has(o, *HOOKS[2:])}.values():
            handles += self._loads.hooks(optimizer)
        if outer is not inner:
            handles += [outer.register_step_pre_hook(self._enter), outer.register_step_post_hook(self._leave)]
            if hasattr(outer, "second_step"):
                around(outer, "second_step", self._enter, self._leave)
        elif hasattr(outer, "first_step"):  # steps of its own, which no hook sees
            handles += [outer.register_step_pre_hook(self._enter), outer.register_step_post_hook(self._leave)]
            around(outer, "first_step", self._by_step, lambda: None)
        return handles

    @untraced
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Whether nobody else has written what the coming update uses.

        An ordinary step (plain rates that nobody touched, checked ahead) calls nothing: after an update of a large
        model this code is in no cache, and each line of it costs.
        """
        own, step = optimizer.__dict__, self.step
        groups = own["param_groups"]
        params = groups[0]["params"]
        if (
            len(args) != 1  # args[0] is the optimizer
            or kwargs
            or "found_inf" in own
            or "step" in own
            or len(groups) != self.followers
            or not params
            or params[0].grad is None
            or self.ready != step
        ):
            return self._carefully(optimizer, args, kwargs)  # type: ignore[no-any-return]  # torch's decorator
        for slot in self._slots:
            group = groups[slot.index]
            shown = group[slot.key] is slot.shown
            if not shown or step not in slot.ahead or group.get(slot.multiplier) is not slot.times:
                return self._carefully(optimizer, args, kwargs)  # type: ignore[no-any-return]  # as above
        self._applied = True
        return None

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # torch.compile would trace into it
    def _carefully(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """The same for any step; everything is checked before anything is written."""
        self._applied = self._initialises = False
        groups = optimizer.param_groups
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None and (skipped(optimizer) or not moves(groups)):
            return None
        if closure is None and not optimizer.state and only_initialises(optimizer):
            self._initialises = True
            return None
        if "step" in optimizer.__dict__:
            alone(optimizer)
        if len(groups) != self.followers:
            self.regroup()
        if KEY in groups[0]:
            self._loads.unseen()
        if self.ready != self.step:
            self._loads.settle()
        step, slots = self.step, self._slots
        late = [slot for slot in slots if slot.joined]
        with self.numbers_of(late) if late else contextlib.nullcontext():
            values = [slot.coming(groups[slot.index], step) for slot in slots]
        for slot, value in zip(slots, values, strict=True):
            slot.write(groups[slot.index], value)
        for slot in slots:
            slot.look_ahead()
        if closure is None:
            self._applied = True
            return None
        watched = self._watched(closure)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    @untraced
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002  # torch's call
        """Count the update, if there was one, and write the next one's values.

        Once, also where a class calls its parent's `step`.
        """
        if not self._applied:
            if self._initialises:
                self._uncount(optimizer)
            return
        self._applied, self._used = False, None
        self.ready = self.step = step = self.step + 1
        if step == self._freezing.due:
            self._set_in()
        groups = optimizer.param_groups
        if self._within or len(groups) != self.followers:
            return
        for slot in self._slots:
            value = slot.ahead.get(step)
            if value is None:
                self._show_next()
                return
            groups[slot.index][slot.key] = slot.shown = value

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _show_next(self) -> None:
        """Write the next update's values, where there are any: that update will say what is wrong with them."""
        for slot in self._slots:
            group = self.groups[slot.index]
            with contextlib.suppress(Exception):  # a user's function may end; the update that was made stands
                slot.write(group, slot.at(self.step))
                slot.look_ahead()

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _set_in(self) -> None:
        """What is to be frozen or unfrozen at this step is."""
        self._thaw()

    def _enter(self, *_: Any) -> None:
        """An optimizer around the one that makes the updates reads the rate until it is left."""
        self._within = True

    def _leave(self, *_: Any) -> None:
        self._within = False
        self._show_next()

    def _by_step(self) -> None:
        if not self._within:
            kind = type(self.optimizer).__name__
            raise ValueError(
                f"{kind} makes an update by first_step and the steps after it, which no hook sees, so the rate would "
                f"stand still; drive it by optimizer.step(closure), or clock.detach() and write group['lr'] yourself"
            )

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _uncount(self, optimizer: torch.optim.Optimizer) -> None:
        self._initialises = False
        uncounted(optimizer)

    def _watched(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure; after it ran there are gradients, or there are none."""

        @functools.wraps(closure)
        def watched() -> Any:
            try:
                loss = closure()
            except BaseException:
                self._within = False  # the step is left, and torch calls no hook after one that fails
                raise
            self._applied = moves(self.groups)
            return loss

        return watched
