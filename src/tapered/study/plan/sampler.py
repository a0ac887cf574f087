"""Trials as one of Optuna's samplers asks for them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tapered.study.store.ledger import quiet


@dataclass(frozen=True)
class Axis:
    """What one number of a trial may be.

    Args:
        low: The least.
        high: The most.
        log: Whether it is searched on a log scale.
        points: Its values on a grid.
        whole: Whether it is a whole number.
    """

    low: float
    high: float
    log: bool
    points: Sequence[float]
    whole: bool = False

    def among(self, distributions: Any) -> Any:
        """What it may be, as Optuna says it."""
        if self.whole:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        # a grid's last point, rounded, may stand outside by its seventh digit
        low, high = min(self.low, *self.points), max(self.high, *self.points)
        return distributions.FloatDistribution(low, high, log=self.log)


class Search:
    """Trials as one of Optuna's samplers asks for them, a batch at a time; the same for the same seed.

    Args:
        axes: The numbers of a trial.
        sampler: "tpe", "random", "cmaes" or "grid".
        seed: What its draws follow.

    >>> search = Search({"peak": Axis(1e-3, 1.0, True, (0.001, 0.1))}, "grid", seed=0)
    >>> sorted(trial["peak"] for trial in search.ask(2))
    [0.001, 0.1]
    """

    def __init__(self, axes: Mapping[str, Axis], sampler: str, seed: int) -> None:
        self._axes, self._grid = axes, sampler == "grid"
        with quiet():
            import optuna  # noqa: PLC0415 - as above

            kinds = optuna.samplers
            made: dict[str, Callable[[], Any]] = {
                "tpe": lambda: kinds.TPESampler(seed=seed, multivariate=True, constant_liar=True),
                "random": lambda: kinds.RandomSampler(seed=seed),
                "cmaes": lambda: kinds.CmaEsSampler(seed=seed),
                "grid": lambda: kinds.GridSampler({name: list(axis.points) for name, axis in axes.items()}, seed=seed),
            }
            self._study = optuna.create_study(sampler=made[sampler]())
            self._distributions = {name: axis.among(optuna.distributions) for name, axis in axes.items()}
        self._asked: list[Any] = []

    def ask(self, count: int) -> list[dict[str, float]]:
        """The next trials, asked while none of them is known."""
        with quiet():
            self._asked = [self._study.ask(self._distributions) for _ in range(count)]
        return [dict(trial.params) for trial in self._asked]

    def tell(self, values: Sequence[float]) -> None:
        """The values of the trials that were last asked for; lower is better."""
        if self._grid:  # values change nothing there, and Optuna ends an exhausted grid by an error
            return
        with quiet():
            for trial, value in zip(self._asked, values, strict=True):
                self._study.tell(trial, value)
