"""The witness of one optimizer: which update comes, at which rate it is made, and, where asked, at which it is to be.

before a step: number, rate in force ─► the update ─► after it: a line of applied.csv, the script's own rate again
"""

import functools
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from tapered.attach.updates import moves, skipped, untraced
from tapered.optim import Optimizer
from tapered.optim.parameters import only_initialises
from tapered.scripts.counting import KEY, counts, follows, made, size
from tapered.scripts.lead import Shares, Written


class Notebook(Protocol):
    """Where what is seen goes; see `noting.Notes`."""

    def rate(self, update: int, rate: Any) -> None:
        """An update was made."""

    def fact(self, **fact: Any) -> None:
        """Something that the rates do not say."""


class Starts(Protocol):
    """Where a script says how far it is; a `ScriptRun`."""

    told: int | None
    likely: int | None


class Watched:
    """The studied optimizer, from its first step in this process on.

    Args:
        optimizer: whose updates count.
        first: the rates of its groups as it was made.
        rates: to be written, one an update; None: they are only seen.
        run: whether the script said how far it is.
        notes: where what is seen goes.
        after: the update that its predecessor, on the same parameters, would have made next.
        again: this run was begun before, so that a count of 0 may mean that none was kept.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        first: Sequence[float],
        rates: Sequence[float] | None,
        run: Starts,
        notes: Notebook,
        after: int = 0,
        again: bool = False,  # noqa: FBT001, FBT002  # by name
    ) -> None:
        self.optimizer, self.name = weakref.ref(optimizer), type(optimizer).__name__
        self._process = os.getpid()
        self.update: int | None = None  # the one that comes; None: to be counted anew
        self._latest, self._again = after, again
        self._rates, self._run, self._notes = rates, run, notes
        self._shares = Shares(first)
        self._written = Written(self._shares)
        self._sets = rates is not None and not follows(optimizer)
        self.pending = self._applied = False
        self.retired = False  # another took over; should it go on, that is said
        self._said = self._reloaded = self._moved = False
        self._counts: bool | None = None
        self._momentum = _momentum(optimizer)
        self._used: Any = None
        optimizer.register_step_pre_hook(self._before)  # after all that are there: nobody writes the rate after it
        optimizer.register_step_post_hook(self._after)
        optimizer.register_load_state_dict_post_hook(self._loaded)

    @property
    def coming(self) -> int:
        """The update that comes, as far as is known."""
        return self._latest

    @untraced
    def _before(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> tuple[Any, Any] | None:
        self.pending = False
        if self.retired or os.getpid() != self._process:
            self._aside(optimizer)
            return None
        if not optimizer.state and only_initialises(optimizer):
            return None
        if self.update is None or self._run.told is not None:
            self._count(optimizer)
        self._put(optimizer)
        self.pending = True
        closure = args[1] if len(args) > 1 else kwargs.get("closure")
        if closure is None:
            self._applied = moves(optimizer.param_groups) and not skipped(optimizer)
            return None
        watched = self._watching(closure, optimizer)
        return ((args[0], watched, *args[2:]), kwargs) if len(args) > 1 else (args, {**kwargs, "closure": watched})

    @untraced
    def _after(self, optimizer: torch.optim.Optimizer, args: Any, kwargs: Any) -> None:  # noqa: ARG002  # torch's call
        """Write down the update, if there was one; once, also where a class calls its parent's `step`."""
        if not self.pending or self.update is None:
            return
        self.pending = False
        if self._sets:
            self._written.back(optimizer.param_groups)
        if not self._applied:
            return
        if isinstance(optimizer, Optimizer):
            self._used = self._shares.alone(optimizer.param_groups, optimizer.last_lr[self._shares.lead])
        self._notes.rate(self.update, self._used)
        self.update += 1
        self._latest = self.update
        if self._counts is None:
            self._counts = counts(optimizer)
        if not self._counts:
            optimizer.param_groups[0][KEY] = self.update

    def _count(self, optimizer: torch.optim.Optimizer) -> None:
        """Which update comes."""
        found, likely = made(optimizer), self._run.likely
        if self._run.told is not None:
            self.update, self._run.told = self._run.told, None
        elif found or (found == 0 and self._reloaded and self._counts is not None):
            self.update = found
        else:
            self.update = self._latest or likely or 0
            if found is None or (self._again and not self.update):
                self._notes.fact(uncounted=type(optimizer).__name__, taken=self.update)
        self._latest, self._reloaded = self.update, False

    def _loaded(self, optimizer: torch.optim.Optimizer) -> None:  # noqa: ARG002  # torch's call
        self.update, self._reloaded = None, True

    def _aside(self, optimizer: torch.optim.Optimizer) -> None:
        """An update that is not seen: of one that was replaced and goes on, or in a worker that was forked."""
        if self._said:
            return
        self._said = True
        if os.getpid() != self._process:
            self._notes.fact(child=os.getpid())
        else:
            self._notes.fact(optimizer=self.name, numbers=size(optimizer), studied=False, rated=True)

    def _put(self, optimizer: torch.optim.Optimizer) -> None:
        """The rate in force as the update will read it: set, or seen."""
        groups = optimizer.param_groups
        if self._sets and self._rates is not None and self.update is not None:
            self._written.write(groups, self._rates[min(self.update, len(self._rates) - 1)])
            if not self._moved and self._momentum != (now := _momentum(optimizer)):
                self._moved = True
                self._notes.fact(momentum=[repr(self._momentum), repr(now)])
        self._used = self._shares.seen(groups)

    def _watching(self, closure: Callable[[], Any], optimizer: torch.optim.Optimizer) -> Callable[[], Any]:
        """The closure; after it there are gradients, or none, and the rate that it may have written."""

        @functools.wraps(closure)
        def watched() -> Any:
            loss = closure()
            self._applied = moves(optimizer.param_groups) and not skipped(optimizer)
            self._put(optimizer)
            return loss

        return watched


def _momentum(optimizer: torch.optim.Optimizer) -> Any:
    group = optimizer.param_groups[0]
    return group.get("betas", group.get("momentum"))
