"""How a result looks where it is printed, and in a notebook."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from tapered.pictures.fragment import fragment
from tapered.report import Figure
from tapered.study.summary.kept import Shown

LETTERS, LINES = 240, 3  # of a short form: of a line, of all
PANELS = 1  # that the first picture has at most


def short(name: str, headline: Sequence[str]) -> str:
    """One to three lines."""
    said = [line if len(line) <= LETTERS else f"{line[: LETTERS - 1]}\N{HORIZONTAL ELLIPSIS}" for line in headline]
    rest = [f"... and {len(said) - LINES + 1} more"] if len(said) > LINES else []
    return f"Result({name!r}): " + "\n".join([*said[: LINES - len(rest)], *rest])


def first(figures: Mapping[str, Figure]) -> str:
    """The picture that is shown first: the curves, where they share a panel, else the verdicts."""
    curves = figures.get("curves")
    if "verdicts" in figures and (curves is None or len(curves.panels) > PANELS):
        return "verdicts"
    return "curves"


def page(shown: Shown, picture: str, page: Path | None) -> str:
    """The question, the verdict, a picture, the tables; what to bear in mind folded away."""
    question = [text for name, text in shown.asked if name == "Question"]
    tables = [(shown.title, shown.arms)]
    if shown.verdicts:
        tables.insert(0, ("Every comparison, the best first:", shown.verdicts))
    where = [] if page is None else [f"Page: {page}"]
    said = [line for line, _ in shown.headline]
    return fragment(said, lead=question, picture=picture, tables=tables, notes=[*shown.notes, *where])
