"""Which peaks and numbers a study tries, and which of their runs go to their end."""

from importlib.util import find_spec
from math import ceil
from typing import Annotated, Literal, Self

from annotated_types import Ge, Le, Lt, MinLen
from pydantic import Field, model_validator

from tapered.study.file.fields import Share, Strict, Whole


class Prune(Strict):
    """Which runs need not go to their end.

    At each of ``rungs``, shares of the run at which it is evaluated, an arm goes on with the best ``keep`` of its
    peaks. With ``probe``, schedules are compared as well: each is cooled down to 0 within that share of the run, and
    the best ``keep`` of them go on, always with those that others are compared with.
    """

    rungs: Annotated[tuple[Share, ...], MinLen(1), Field(strict=False)]
    keep: Share = 0.5
    probe: Share | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if sorted(set(self.rungs)) != list(self.rungs):
            raise ValueError(f"rungs={list(self.rungs)} do not ascend; try {sorted(set(self.rungs))}")
        if self.probe is not None and self.rungs[-1] + self.probe > 1:
            raise ValueError(f"a probe of {self.probe:g} from rung {self.rungs[-1]:g} ends after the run; try less")
        return self

    def kept(self, count: int) -> int:
        """How many of so many go on, at least one.

        >>> Prune(rungs=(0.5,), keep=0.5).kept(7)
        4
        """
        return max(1, ceil(self.keep * count - 1e-9))


class Tune(Strict):
    """How peaks and the numbers of each arm's ``space`` are searched: ``trials`` for each arm, ``batch`` at a time."""

    trials: Annotated[Whole, Ge(1), Le(10_000)]
    batch: Annotated[Whole, Ge(1), Le(10_000)] = 8
    sampler: Literal["tpe", "random", "cmaes", "grid"] = "tpe"
    seed: Annotated[Whole, Ge(0), Lt(2**31)] = 0

    @model_validator(mode="after")
    def _installed(self) -> Self:
        if self.sampler == "cmaes" and find_spec("cmaes") is None:
            raise ValueError('sampler = "cmaes" needs a package that is not installed; try: pip install cmaes')
        return self
