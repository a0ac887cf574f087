"""A trainer that tells a log what it logs itself, and the rates that its updates used, by a callback.

Trainer's optimizers ─► follow ─► Latest ─╮
Trainer's losses and metrics ─► log ──────┴─► log(step, loss=...), lr/<group> of the same update
"""

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import Any

import torch

from tapered.loggers.rates import Latest

TOLD = ("train_loss", "train/loss")  # means over more than an update, under the name of the loss of one


class Heard:
    """A run that asks nothing of its trainer, as the callbacks of a study's scripts know runs.

    Args:
        log: Takes a step and numbers by name.
        rates: Whether the rates of the trainer's optimizers are told; not where the log follows one itself.
        warn: Told once where they cannot be.
    """

    likely: int | None = None
    until = inf

    def __init__(self, log: Callable[..., None], *, rates: bool, warn: Callable[[str], None]) -> None:
        self._log, self._asked, self._warn = log, rates, warn
        self._latest: Latest | None = None

    def log(self, step: Any, /, **values: Any) -> None:
        """Tell numbers, but for what is told elsewhere, or means another thing."""
        told = {name: value for name, value in values.items() if name not in TOLD and not name.startswith("lr/")}
        if told:
            self._log(step, **told)

    def follow(self, optimizers: Iterable[Any]) -> None:
        """The optimizers are made: their updates are seen from here on."""
        self.leave()
        try:
            self._latest = Latest(each for each in optimizers if isinstance(each, torch.optim.Optimizer))
        except (TypeError, ValueError) as error:
            self._warn(f"the rates of this trainer are not told: {error}")

    def take(self) -> dict[str, float]:
        """The rates that the newest update used."""
        return {} if self._latest is None else self._latest.take()

    def tell(self, step: Any, rates: Mapping[str, float]) -> None:
        """Tell rates, where nobody else does."""
        if rates and self._asked:
            self._log(step, **rates)

    def leave(self) -> None:
        """Let the optimizers go."""
        if self._latest is not None:
            self._latest.remove()

    def should_save(self, step: Any) -> bool:  # noqa: ARG002  # a run's
        """Never: nobody asked."""
        return False

    should_stop = should_save
