"""A table of the page as a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["number", "text", "wrap", "code"]


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it.

    Args:
        caption: What it shows.
        columns: (name, kind): numbers stand at the right; text that wraps and code are broken where they are long.
        rows: As many cells each.
        strong: Which rows stand out, by their place.
    """

    caption: str
    columns: tuple[tuple[str, Kind], ...]
    rows: tuple[tuple[str, ...], ...]
    strong: frozenset[int] = frozenset()


def table(
    caption: str, columns: Sequence[tuple[str, Kind]], rows: Sequence[Sequence[str]], strong: Sequence[int] = ()
) -> Table:
    """A table of any sequences."""
    return Table(caption, tuple(columns), tuple(tuple(row) for row in rows), frozenset(strong))


def numbers(*names: str) -> list[tuple[str, Kind]]:
    """Columns of numbers."""
    return [(name, "number") for name in names]
