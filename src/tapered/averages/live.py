"""An average that follows an optimizer: it counts applied updates, takes weights after them, and lends the average."""

import contextlib
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tapered import rules
from tapered.attach.layers import has, maker
from tapered.attach.updates import moves, skipped
from tapered.averages.counting import at_hand, looked_up
from tapered.averages.lending import lent, recomputed
from tapered.averages.saved import FORMAT, beside, read, stood_still, taken_after
from tapered.averages.tensors import buffers, parameters, size
from tapered.optim.parameters import only_initialises
from tapered.rules import State
from tapered.rules.following import moved
from tapered.training.averages import Average

CHUNK = 1024  # of values that are made ahead
WITHIN = "{} within average.readout(), where the weights are those of the average; leave the block before"


class LiveAverage:
    """An average of weights that goes on by itself. Made by `tapered.average`.

    `updates` counts the applied updates since it was made; `taken` of how many of them the weights were taken.

    Example:
        >>> import tapered
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> average = tapered.average(optimizer, "swa", start=2)
        >>> for _ in range(3):
        ...     (-weight.sum()).backward()
        ...     optimizer.step()
        ...     optimizer.zero_grad()
        >>> average.updates, average.taken, weight.item()
        (3, 2, 3.0)
        >>> with average.readout():
        ...     weight.item()
        2.5
    """

    def __init__(
        self,
        asked: Average,
        optimizer: torch.optim.Optimizer | None,
        model: nn.Module | None,
        *,
        averages_buffers: bool,
    ) -> None:
        self.asked, self.optimizer, self.model = asked, optimizer, model
        self.updates = 0
        self._rule = asked.wrapped(rules.SGD())  # whose own update nobody asks for
        self._buffers = averages_buffers
        self._size, self._params = size(optimizer), parameters(optimizer, model)
        self._kept: dict[str, State] = {}
        self._ahead: tuple[int, list[float]] = 0, []
        self._at: int | None = None  # where the optimizer's own count stood after the latest update
        self._loaded, self._refused = False, ""
        self._applied = self._within = self._lent = self._made = False
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

    @property
    def taken(self) -> int:
        """Of how many updates the weights were taken."""
        return taken_after(self.asked, self.updates)

    def __repr__(self) -> str:
        return f"LiveAverage({self.asked}, updates={self.updates}, taken={self.taken})"

    def update(self) -> None:
        """Count an update of the model, and take its weights where they are due; only where no optimizer was given.

        Raises:
            TypeError: the average follows an optimizer and counts by itself.
            RuntimeError: within `readout()`.
        """
        if self.optimizer is not None:
            raise TypeError("this average follows its optimizer and counts by itself; leave average.update() out")
        self._outside("update")
        self._settle()
        self._join()
        self._take()

    @contextlib.contextmanager
    def readout(self, batches: Iterable[Any] | None = None) -> Iterator[None]:
        """Within the block the model's weights are those of the average; before any were taken, its own.

        Nothing is trained, saved or loaded there: a step of the optimizer, its `state_dict` and `load_state_dict` and
        those of the average raise a RuntimeError. After the block, also after an exception, the trained weights are
        back. A block within a block of the same average changes nothing.

        Args:
            batches: where `batch_norm="recomputed"`, minibatches as `torch.optim.swa_utils.update_bn` takes them.

        Raises:
            TypeError: minibatches that are not asked for, or are missing.
            ValueError: states were loaded that do not fit together.
            RuntimeError: the weights were changed within the block; that is undone.
        """
        again = self.asked.batch_norm == "recomputed"
        if again != (batches is not None) and not self._lent:
            text = ("needs", "readout(batches)") if again else ("takes no minibatches", "readout()")
            raise TypeError(f'batch_norm="{self.asked.batch_norm}" {text[0]}; try average.{text[1]}')
        if self._lent:  # a function that evaluates, called by one that does
            yield
            return
        self._settle()
        tensors = self._tensors()
        averages = {
            name: self._rule.readout(tensors[name].detach(), state)
            for name, state in self._kept.items()
            if name in tensors  # a group may have been taken out
        }
        with lent(tensors, averages, self._params), contextlib.ExitStack() as stack:
            try:
                if batches is not None and self.model is not None and averages:
                    stack.enter_context(recomputed(self.model, batches))
                self._lent = True
                yield
            finally:
                self._lent = False

    def restart(self) -> None:
        """Begin anew from the weights of now: nothing was taken yet, and what was loaded is forgotten.

        Raises:
            RuntimeError: within `readout()`.
        """
        self._outside("restart")
        self.updates, self._kept, self._at = 0, {}, None
        self._loaded, self._refused = False, ""

    def detach(self) -> None:
        """Let the optimizer go; what was averaged stays."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def state_dict(self) -> dict[str, Any]:
        """What is averaged, the updates so far, and the average's tensors by name: tensors and plain values only.

        Raises:
            RuntimeError: within `readout()`.
        """
        self._outside("state_dict")
        return {
            "format": FORMAT,
            "average": self._stated(),
            "updates": self.updates,
            "at": self._at if self._loaded or self.optimizer is None else looked_up(self.optimizer),
            "weights": {name: dict(state) for name, state in self._kept.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved average; load the optimizer's state and the model's, too, before or after.

        Tensors are copied. After a refusal the next step is refused, too.

        Raises:
            TypeError, ValueError: what does not fit, or another average; nothing has changed then.
            RuntimeError: within `readout()`.
        """
        self._outside("load_state_dict")
        try:
            saved = read(state, self._stated(), self._rule, self.asked)
            kept = beside(self._rule, saved.kept, self._tensors())
        except Exception as error:
            self._refused = (
                f"the average's state that was to be loaded was refused ({error}), and going on would be another "
                f"average; load one that fits, or begin anew: average.restart()"
            )
            raise
        self.updates, self._at, self._kept = saved.updates, saved.at, kept
        self._loaded, self._refused = True, ""

    def _stated(self) -> dict[str, Any]:
        return {**self.asked.given, "buffers": "averaged" if self._buffers else "trained"}

    def _tensors(self) -> dict[str, Tensor]:
        """What is averaged, by name; parameters that joined are known."""
        if self.optimizer is None or size(self.optimizer) != self._size:
            self._size, self._params = size(self.optimizer), parameters(self.optimizer, self.model)
        if not self._buffers or self.model is None:
            return self._params
        return {**self._params, **buffers(self.model)}

    def _outside(self, call: str) -> None:
        if self._lent:
            raise RuntimeError(WITHIN.format(call))

    def _settle(self) -> None:
        """Before an update: what was loaded fits together.

        Raises:
            ValueError: the optimizer's count is not where the average was left, or names are not there.
        """
        if self._refused:
            raise ValueError(self._refused)
        if self.optimizer is not None:
            now = at_hand(self.optimizer)
            if now is None and self._loaded:
                now = looked_up(self.optimizer)
            if None not in (now, self._at) and now != self._at:
                raise ValueError(
                    f"the average was left where the optimizer had made {self._at} updates, and it has made {now} now; "
                    f"load both from one checkpoint (in any order), or begin anew here: average.restart()"
                )
        if self._loaded:
            tensors = self._tensors()
            lost = sorted(self._kept.keys() - tensors.keys())
            if lost:
                raise ValueError(
                    f"the average's state holds {lost[0]!r}, which is not there; add what the optimizer held when it "
                    f"was saved, or begin anew: average.restart()"
                )
            self._kept = beside(self._rule, self._kept, tensors)
        self._loaded = False

    def _join(self) -> None:
        """What joined since weights were first taken has stood still until now."""
        for name, tensor in self._tensors().items() if self._kept else ():
            if name not in self._kept:
                self._kept[name] = stood_still(self._rule, tensor, self.taken)

    def _take(self) -> None:
        """Count an update, and take the weights after it where they are due."""
        self.updates += 1
        if self.taken == taken_after(self.asked, self.updates - 1):
            return
        tensors = self._tensors()
        if not self._kept:
            self._kept = {name: self._rule.begun(tensor.detach()) for name, tensor in tensors.items()}
        names = [name for name in self._kept if name in tensors]
        value = self._value(self.updates - 1)
        moved(self._rule, [tensors[name].detach() for name in names], [self._kept[name] for name in names], value)

    def _value(self, step: int) -> float:
        """What of the weights after the update of this step is taken; made ahead."""
        first, values = self._ahead
        if not first <= step < first + len(values):
            first, values = self._ahead = step, self.asked.between(step, step + CHUNK).tolist()
        return values[step - first]

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
