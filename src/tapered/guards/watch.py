"""A guard beside any torch optimizer: it looks at the gradients right before each update.

before an update:  all finite, no square too large  ->  go on
                   else                             ->  raise | leave the step out | go back to a checkpoint
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, Literal

import torch

from tapered.attach import clock_of
from tapered.attach.updates import moves, skipped
from tapered.guards.errors import GradientError, Rewound
from tapered.guards.faults import Fault, find
from tapered.guards.leaving_out import LeftOut
from tapered.guards.rewinding import Rewind
from tapered.guards.sums import gradients, sound
from tapered.optim import Optimizer

Policy = Literal["raise", "skip", "rewind"]


class Guard:
    """Watches one optimizer. Made by `guard`.

    `skipped` counts the steps left out, `in_a_row` those since the latest update, `rewinds` the times that the run went
    back; `fault` is the latest fault. Steps without any gradient and steps that a GradScaler skips count for nothing.

    Example:
        >>> import torch, tapered
        >>> from tapered.guards import guard
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = tapered.SGD([weight], lr=0.5)
        >>> watching = guard(optimizer, "skip")
        >>> for factor in (1.0, float("inf"), 1.0):
        ...     loss = optimizer.minimize(factor * weight.sum())
        >>> watching.skipped, watching.in_a_row, watching.step, weight.tolist()
        (1, 0, 2, [0.0, 0.0])
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        policy: Policy,
        most: int,
        rewind: Rewind | None,
        names: Mapping[int, str],
    ) -> None:
        self.optimizer, self.policy, self.most = optimizer, policy, most
        self.skipped = self.in_a_row = self.rewinds = 0
        self.fault: Fault | None = None
        self._rewind, self._names = rewind, names
        self._updates = 0
        self._passed = False
        self._left: LeftOut | None = None
        self._within = 0  # calls of `step` in a call of `step`: a class that calls its parent's
        before = optimizer.register_step_pre_hook(self._before)
        # an attached clock must find no gradient in a step that is left out
        optimizer._optimizer_step_pre_hooks.move_to_end(before.id, last=False)  # type: ignore[attr-defined]  # noqa: SLF001  # torch's is an OrderedDict
        self._handles = [before, optimizer.register_step_post_hook(self._after)]

    @property
    def step(self) -> int:
        """Completed updates: by the clock or the optimizer itself, else those that this guard has seen."""
        clock = clock_of(self.optimizer)
        if clock is not None:
            return clock.step
        return self.optimizer.steps if isinstance(self.optimizer, Optimizer) else self._updates

    def __repr__(self) -> str:
        return f"Guard({self.policy!r}, most={self.most}, skipped={self.skipped}, rewinds={self.rewinds})"

    def detach(self) -> None:
        """Let the optimizer go, unguarded."""
        for handle in self._handles:
            handle.remove()

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # torch.compile would trace into it
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        """Look at the gradients, or have the closure look at those that it makes."""
        closure = args[1] if len(args) > 1 else kwargs.get("closure")  # args[0] is the optimizer
        if (self._left is not None and not moves(optimizer.param_groups)) or getattr(closure, "guard", None) is self:
            self._within += 1
            return None
        self._passed, self._left, self._within = False, None, 0
        if closure is None:
            if not skipped(optimizer):
                self._look()
            return None
        watched = self._watched(closure)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    @torch._dynamo.disable  # type: ignore[untyped-decorator]  # noqa: SLF001  # as above
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002  # torch's call
        """Count the update, or end the step that was left out."""
        if self._passed:
            self._passed, self.in_a_row = False, 0
            self._updates += 1
        elif self._left is not None:
            if not self._within:
                self._left.end()
                self._left = None
            self._within -= 1

    def _watched(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The closure, and a look at its gradients."""
        evaluations = 0

        @functools.wraps(closure)
        def watched() -> Any:
            nonlocal evaluations
            loss = closure()
            evaluations += 1
            self._look(evaluations)
            return loss

        watched.guard = self  # type: ignore[attr-defined]  # functools.wraps hands it on to a clock's closure
        return watched

    def _look(self, evaluation: int = 1) -> None:
        """Go on where everything is sound.

        Raises:
            GradientError, Rewound: as the policy says.
        """
        optimizer = self.optimizer
        grads = gradients(optimizer)
        if not grads:
            return
        given = getattr(optimizer, "grad_scale", None)
        scale = 1.0 if given is None else float(given)
        fault = None if sound(grads, scale) else find(optimizer, self.step, scale, self._names)
        self._passed = fault is None and self._left is None
        if not self._passed:
            self._act(fault or self.fault, evaluation)  # type: ignore[arg-type]  # one of them is there

    def _act(self, fault: Fault, evaluation: int) -> None:
        self.fault = fault
        if self.policy == "skip" and evaluation == 1 and self.in_a_row < self.most:
            self.in_a_row += 1
            self.skipped += 1
            self._left = LeftOut(self.optimizer)
            return
        # a GradScaler puts these there for one step, and would multiply with what an exception leaves behind
        for name in ("grad_scale", "found_inf"):
            self.optimizer.__dict__.pop(name, None)
        if self._rewind is not None:
            resumed = self._rewind(fault)
            self.rewinds += 1
            self._updates = resumed.step
            raise Rewound(fault, resumed)
        raise GradientError(fault, self._advice(evaluation))

    def _advice(self, evaluation: int) -> str:
        if evaluation > 1:
            return (
                f"this was evaluation {evaluation} of the closure in one step, so the parameters have moved; "
                "guard(optimizer, 'rewind', folder=..., ...) goes back to the last checkpoint"
            )
        if self.policy == "skip":
            return (
                f"{self.most} in a row were skipped before it, so this is no matter of one batch, and nothing has "
                "changed; try a lower rate, or go back: guard(optimizer, 'rewind', folder=..., ...)"
            )
        return (
            "nothing has changed; look at this batch and the rate, or leave such steps out: "
            "guard(optimizer, 'skip', most=10)"
        )
