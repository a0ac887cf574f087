"""Which of a script's optimizers is studied: by the order of their first steps, by the name of a class, or the largest.

an optimizer's first step ─► studied: its `Watched`; another: a fact, and nothing more
"""

import os
import weakref
from typing import Any
from weakref import WeakKeyDictionary

import torch

from tapered.attach.layers import maker
from tapered.attach.updates import untraced
from tapered.scripts.counting import shares, size
from tapered.scripts.current import ScriptRun
from tapered.scripts.lead import own_rate, rated
from tapered.scripts.noting import Notes
from tapered.scripts.watching import Watched


class Witness:
    """The optimizers that one process has met.

    Args:
        run: what is asked.
        met: those that have made a step, by their id.
        sets: whether rates are written, or only seen.
    """

    def __init__(self, run: ScriptRun, met: dict[int, Any], *, sets: bool) -> None:
        self.run, self.sets = run, sets
        self.notes = Notes(run.folder, run.rates)
        self.again = self.notes.begun or run.asked.start > 0
        self.studied: Watched | None = None
        self._process = os.getpid()
        self._made: WeakKeyDictionary[torch.optim.Optimizer, list[float]] = WeakKeyDictionary()
        self._met = met
        self._order = 0

    def was_made(self, optimizer: torch.optim.Optimizer) -> None:
        """Keep the rates of its groups, which schedulers and saved states will change."""
        self._made[optimizer] = rates_of(optimizer)

    @untraced
    def meet(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer makes its first step."""
        for layer in (optimizer, maker(optimizer)):  # SAM's updates are those of an optimizer within, which is no other
            self._knows(layer)
        if self.studied is not None and self.studied.pending:  # likewise
            return
        if os.getpid() != self._process:  # forked from the process that is witnessed
            self.notes.fact(child=os.getpid())
            return
        chosen, order = self._chosen(optimizer), self._order
        self._order += 1
        shows = any(map(rated, optimizer.param_groups))
        name = type(optimizer).__name__
        self.notes.fact(optimizer=name, order=order, numbers=size(optimizer), studied=chosen and shows, rated=shows)
        if chosen and shows:
            self._watch(optimizer)

    def _knows(self, optimizer: torch.optim.Optimizer) -> None:
        key = id(optimizer)
        self._met[key] = weakref.ref(optimizer, lambda _: self._met.pop(key, None))

    def _watch(self, optimizer: torch.optim.Optimizer) -> None:
        before = self.studied
        if before is not None:
            before.retired = True
        first = self._made.get(optimizer) or []
        if len(first) != len(optimizer.param_groups) or not any(first):
            first = rates_of(optimizer)
        self.studied = Watched(
            optimizer,
            first,
            self.run.rates if self.sets else None,
            self.run,
            self.notes,
            after=before.coming if before is not None else 0,
            again=self.again,
        )

    def _chosen(self, optimizer: torch.optim.Optimizer) -> bool:
        asked = self.run.asked.optimizer
        if isinstance(asked, str) and type(optimizer).__name__ != asked:
            return False
        if self.studied is not None:  # one made anew for the same parameters takes over
            last = self.studied.optimizer()
            if last is not None:
                return shares(last, optimizer)
            if isinstance(asked, int):
                return type(optimizer).__name__ == self.studied.name
        if asked is None:
            return size(optimizer) >= max(map(size, self._made), default=0)
        return isinstance(asked, str) or asked == self._order


def rates_of(optimizer: torch.optim.Optimizer) -> list[float]:
    """The rate of each group: the one that a scheduler found there, where one was made."""
    groups = optimizer.param_groups
    return [own_rate({"lr": group["initial_lr"]} if "initial_lr" in group else group) for group in groups]
