"""Optimizers that follow the rate that a run is asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.lr_scheduler import LRScheduler

from tapered.attach import as_lr_scheduler, attach
from tapered.optim import Optimizer
from tapered.schedules import Schedule, from_function

NAME = "rates asked"  # of every run alike: a state that was saved in one is loaded in another


@dataclass(frozen=True, repr=False)
class Table:
    """update -> rate, held after the last one."""

    rates: Sequence[float]

    def __repr__(self) -> str:
        return NAME

    def __hash__(self) -> int:
        return hash((len(self.rates), self.rates[0], self.rates[-1]))

    def __call__(self, update: int) -> float:
        """The rate of this update."""
        return self.rates[min(update, len(self.rates) - 1)]


def table(rates: Sequence[float]) -> Schedule:
    """The rates as a schedule.

    >>> table([0.1, 0.05])(1), table([0.1, 0.05])(7), table([0.1])
    (0.05, 0.05, from_function(rates asked))
    """
    return from_function(Table(rates))


def followed(optimizer: torch.optim.Optimizer, lr: Schedule) -> LRScheduler:
    """Attach the rate, or see that it is the optimizer's own; a scheduler that shows it.

    Raises:
        ValueError: another scheduler steers it, or another schedule.
    """
    if isinstance(optimizer, Optimizer) and any(optimizer.schedules):
        wrong = [own.get("lr") for own in optimizer.schedules if own.get("lr") != lr]
        if wrong:
            raise ValueError(
                f"this {type(optimizer).__name__} follows {wrong[0]}; expected run.lr; make it with lr=run.lr"
            )
    else:
        attach(optimizer, lr=lr, groups=_in_proportion(optimizer, lr))
    return as_lr_scheduler(optimizer)


def _in_proportion(optimizer: torch.optim.Optimizer, lr: Schedule) -> dict[int, dict[str, Schedule]]:
    """Each group whose rate is not the first one's, by its ratio to it."""
    rates = [float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups]
    if not rates[0]:
        return {}
    return {i: {"lr": rate / rates[0] * lr} for i, rate in enumerate(rates) if rate != rates[0]}
