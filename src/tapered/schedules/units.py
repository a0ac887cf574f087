"""Schedules that count epochs, samples or tokens, as ones of updates: `in_epochs`, `in_samples`, `in_tokens`."""

# ruff: noqa: SLF001  # a schedule asks the schedule it is made of
from collections.abc import Iterator
from typing import Annotated, ClassVar

import numpy as np

from tapered.schedules.called import kind, required
from tapered.schedules.checks import LARGEST_STEP, Within
from tapered.schedules.curves import FAR, Floats
from tapered.schedules.methods import _Method

Count = Annotated[int, Within("a whole number from 1 up", least=1, most=LARGEST_STEP, whole="always")]


@kind
class in_epochs(_Method):
    """value(k) = schedule(k // steps_per_epoch): the schedule counts epochs, a step here is an update.

    Exactly the rate of a scheduler that was stepped once after each epoch of `steps_per_epoch` updates: constant within
    an epoch, and there what the schedule has for that epoch. Its horizon is the schedule's, times steps_per_epoch.
    After `.then` the first epoch begins where the schedule before it ends; a warmup in updates over a decay in epochs
    that runs from the start is a product: `warmup(500) * cosine_decay(decay_steps=90).in_epochs(1251)`.

    Args:
        schedule: what counts epochs.
        steps_per_epoch: applied updates in an epoch: `len(loader)`, over the micro-batches of an update where gradients
            are accumulated; from 1 up.

    Raises:
        TypeError, ValueError: steps_per_epoch is no whole number from 1 up.

    Example:
        >>> from tapered.schedules import step_decay
        >>> step_decay(0.1, step_size=2, gamma=0.5).in_epochs(3).table(8)
        array([0.1 , 0.1 , 0.1 , 0.1 , 0.1 , 0.1 , 0.05, 0.05])
    """

    _example: ClassVar[str] = "schedule.in_epochs(1251)"
    steps_per_epoch: Count = required()

    def _values(self, steps: Floats) -> Floats:
        # The quotient of two whole numbers up to 2**53 never rounds up to a whole one that it has not reached: from
        # q - 1/n to q is at least the space between floats there, as q * n <= 2**53.
        return self.schedule._values(np.floor(steps / self.steps_per_epoch))

    @property
    def horizon(self) -> int | None:
        """The first step of the epoch at which the schedule ends."""
        end = self.schedule.horizon
        return None if end is None else min(end * self.steps_per_epoch, FAR)

    def _marks(self) -> Iterator[tuple[int, str]]:
        return ((at * self.steps_per_epoch, note) for at, note in self.schedule._marks())


@kind
class _Faster(_Method):
    """A schedule of which each step here passes several."""

    @property
    def _each(self) -> int:
        raise NotImplementedError

    def _values(self, steps: Floats) -> Floats:
        # a whole number up to 2**53 is exact
        return self.schedule._values(np.minimum(steps * self._each, float(LARGEST_STEP)))

    @property
    def horizon(self) -> int | None:
        """The first step at or after the schedule's own."""
        end = self.schedule.horizon
        return None if end is None else -(-end // self._each)

    def _marks(self) -> Iterator[tuple[int, str]]:
        return ((-(-at // self._each), note) for at, note in self.schedule._marks())


@kind
class in_samples(_Faster):
    """value(k) = schedule(k * batch_size): the schedule counts samples, of which an update sees `batch_size`.

    Its horizon is the first update at or after the schedule's own. From 2**53 samples on, which float64 no longer
    counts one by one, it holds the value that it has there.

    Args:
        schedule: what counts samples.
        batch_size: samples in an update, over all processes and micro-batches; from 1 up.

    Raises:
        TypeError, ValueError: batch_size is no whole number from 1 up.

    Example:
        >>> from tapered.schedules import linear
        >>> linear(1.0, 0.0, steps=1000).in_samples(256).table(6)
        array([1.   , 0.744, 0.488, 0.232, 0.   , 0.   ])
    """

    _example: ClassVar[str] = "schedule.in_samples(256)"
    batch_size: Count = required()

    @property
    def _each(self) -> int:
        return self.batch_size


@kind
class in_tokens(_Faster):
    """value(k) = schedule(k * tokens_per_step): the schedule counts tokens, of which an update sees `tokens_per_step`.

    As `in_samples`, for language models, whose runs are planned in tokens.

    Args:
        schedule: what counts tokens.
        tokens_per_step: tokens in an update, over all processes and micro-batches; from 1 up.

    Raises:
        TypeError, ValueError: tokens_per_step is no whole number from 1 up.

    Example:
        >>> from tapered.schedules import warmup
        >>> warmup(4_000_000).in_tokens(1_000_000).table(6)
        array([0.  , 0.25, 0.5 , 0.75, 1.  , 1.  ])
    """

    _example: ClassVar[str] = "schedule.in_tokens(524_288)"
    tokens_per_step: Count = required()

    @property
    def _each(self) -> int:
        return self.tokens_per_step
