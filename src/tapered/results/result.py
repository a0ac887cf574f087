"""A finished study's result, as it is kept beside its page."""

import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from tapered.files.errors import StoreError
from tapered.report import Figure, PlotData, figures
from tapered.results import look
from tapered.results.arms import Arm, Arms, UnknownError
from tapered.results.plot import Plot
from tapered.results.verdicts import Verdict
from tapered.study.summary.kept import Kept, kept
from tapered.words import suggest

if TYPE_CHECKING:
    from pandas import DataFrame

PAGE = "report.html"
Rows = Literal["runs", "curves", "arms", "verdicts"]


class Result:
    """What a study found. `tapered.study` returns it, `Result.open` reads it from a finished study's folder.

    Args:
        kept: What is kept of it.
        folder: Its folder.

    Example:
        >>> result = Result.open("studies/mine-0a1b2c3d")  # doctest: +SKIP
        >>> result  # doctest: +SKIP
        Result('mine'): cosine beats constant: 0.0177 -> 0.0078 (-56%), 8 of 8 fresh seeds, ...
        >>> result.arms["cosine"].schedule  # doctest: +SKIP
        0.01 * cosine_decay(decay_steps=2000)
    """

    def __init__(self, kept: Kept, folder: Path) -> None:
        self._kept, self.folder = kept, folder

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> Self:
        """Read a finished study's folder; nothing of the study is run.

        Raises:
            StoreError: It has no result, or that was changed since.
        """
        return cls(kept(Path(folder)), Path(folder))

    @property
    def name(self) -> str:
        """The study's."""
        return str(self._kept.summary["study"])

    @property
    def question(self) -> str | None:
        """What it was asked; None where its file does not say."""
        return self._kept.summary["question"]  # type: ignore[no-any-return]

    @property
    def headline(self) -> str:
        """The verdicts in words; of many how many of each, and the best."""
        return "\n".join(self._kept.summary["headline"])

    @cached_property
    def arms(self) -> Arms:
        """The arms by name, each at its best peak."""
        return Arms(self.name, self._kept.summary["arms"])

    @cached_property
    def verdicts(self) -> tuple[Verdict, ...]:
        """Every comparison, in the order of the study."""
        return tuple(Verdict.of(fields) for fields in self._kept.summary["comparisons"])

    @property
    def winner(self) -> Arm:
        """The arm to train with: the best that beats another, else the baseline."""
        return self.arms[self._kept.summary["winner"]]

    @property
    def caveats(self) -> tuple[str, ...]:
        """What to bear in mind."""
        return tuple(self._kept.summary["caveats"])

    @property
    def page(self) -> Path | None:
        """Where its page is; None where there is none."""
        return self.folder / PAGE if (self.folder / PAGE).is_file() else None

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain values: what `tapered show --json` prints."""
        page = self.page
        return self._kept.summary | {"folder": str(self.folder), "page": None if page is None else str(page)}

    def to_pandas(self, rows: Rows = "runs") -> "DataFrame":
        """A table for pandas.

        Args:
            rows: What a row is: one of the "runs", a point of their "curves", one of the "arms" or of the "verdicts".

        Raises:
            ModuleNotFoundError: pandas is not installed.
            ValueError: There are no such rows.
        """
        try:
            from pandas import DataFrame  # noqa: PLC0415  # no dependency
        except ModuleNotFoundError:
            raise ModuleNotFoundError(
                "to_pandas needs pandas, which is not installed; try: pip install pandas"
            ) from None
        return DataFrame(self._rows(rows))

    def _rows(self, rows: Rows) -> list[dict[str, Any]]:
        summary = self._kept.summary
        runs = [{name: value for name, value in run.items() if name != "curve"} for run in summary["every_run"]]
        if rows == "runs":
            return runs
        if rows == "curves":
            named = ("arm", "peak", "seed", "fresh")
            each = ((run, point) for run in summary["every_run"] for point in run["curve"])
            return [{**{name: run[name] for name in named}, "step": at, "value": value} for run, (at, value) in each]
        if rows == "arms":
            return [vars(arm) | {"schedule": str(arm.schedule)} for arm in self.arms.values()]
        if rows == "verdicts":
            return [dict(vars(verdict)) for verdict in self.verdicts]
        raise ValueError(f"got {rows!r} for the rows; expected runs, curves, arms or verdicts")

    def plot(self, name: str | None = None) -> Plot:
        """A picture, which a notebook shows and `save` writes.

        Args:
            name: "curves", the metric over steps; "verdicts", the differences and their intervals; "sensitivity", over
                peaks; "differences", seed by seed; "schedules", the rates as applied; "trials", with fewer of them.
                By default the curves, of more than six arms the verdicts.

        Raises:
            KeyError: There is no such picture.
        """
        chosen = look.first(self._figures) if name is None else name
        if chosen not in self._figures:
            raise UnknownError(f"study {self.name!r} has no picture {name!r}; {suggest(str(name), self._figures)}")
        return Plot(self._figures[chosen], self.name)

    @cached_property
    def _figures(self) -> Mapping[str, Figure]:
        if not self._kept.drawn:
            raise StoreError(
                f"{self.folder} was written by an earlier version of tapered, which kept no figures; the study's own "
                f"command writes it again"
            )
        return {figure.name: figure for figure in figures(PlotData.of(self._kept.drawn))}

    def __repr__(self) -> str:
        return look.short(self.name, self._kept.summary["headline"])

    def _repr_html_(self) -> str:
        return look.page(self._kept.shown, self.plot()._repr_html_() if self._kept.drawn else "", self.page)
