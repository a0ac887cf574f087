"""Trainers that tell a log what they log themselves, by the callbacks of a study's scripts."""

from collections.abc import Callable
from math import inf
from typing import Any


class Heard:
    """A run that asks nothing of its trainer, as the callbacks of a study's scripts know runs."""

    likely: int | None = None
    until = inf

    def __init__(self, log: Callable[..., None], but: str = "") -> None:
        self._log, self._but = log, but

    def log(self, step: Any, /, **values: Any) -> None:
        """Tell all but one of these, which is told elsewhere or means another thing."""
        told = {name: value for name, value in values.items() if name != self._but}
        if told:
            self._log(step, **told)

    def should_save(self, step: Any) -> bool:  # noqa: ARG002  # a run's
        """Never: nobody asked."""
        return False

    should_stop = should_save
