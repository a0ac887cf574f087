"""A figure of a result as one picture: for a notebook in its ink, for a file dark on white."""

import os
from dataclasses import dataclass
from html import escape
from pathlib import Path

from tapered.files.whole import replace
from tapered.pictures import Panel, text
from tapered.report import Figure

ACROSS, GAP = 4, 8.0  # small panels in a row; between two
TITLE, LINE, LETTER, DASH = 24.0, 20.0, 6.8, 28.0  # of the title and of a line of names; of a letter, of a name's line
PAPER = '<rect width="100%" height="100%" fill="#fff"/>'


@dataclass(frozen=True, repr=False)
class Plot:
    """A picture of a result.

    A notebook shows it; `save` writes it.

    Args:
        figure: What is drawn.
        of: Of which study.

    Example:
        >>> Plot(Figure("curves", "Validation loss", "Each arm at its best peak.", "step", "loss", (), ()), "mine")
        Plot('Validation loss' of study 'mine'; .save('plot.svg') writes it)
    """

    figure: Figure
    of: str

    def __repr__(self) -> str:
        return f"Plot({self.figure.title!r} of study {self.of!r}; .save('plot.svg') writes it)"

    def _repr_svg_(self) -> str:
        return self._drawn(paper=True)

    def _repr_html_(self) -> str:
        caption = f'<div style="font-size:0.9em;opacity:0.8;max-width:80ch">{escape(self.figure.caption)}</div>'
        return f'<div style="font-family:system-ui,sans-serif">{self._drawn(paper=False)}{caption}</div>'

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the picture, whole or not at all.

        Args:
            path: Where to; it ends in .svg.

        Raises:
            ValueError: It ends in anything else.
            OSError: The disk does not take it.
        """
        found = Path(path)
        if found.suffix != ".svg":
            raise ValueError(f"got {os.fspath(path)!r}; expected a path that ends in .svg; try {found.stem}.svg")
        replace(found, self._drawn(paper=True).encode())

    def _drawn(self, *, paper: bool) -> str:
        panels = [panel for panel, _ in self.figure.panels]
        wide = max(panel.size.width for panel in panels)
        across = min(len(panels), ACROSS)
        width = max(across * (wide + GAP) - GAP, 460.0)
        key, names = self._key(width)
        top = TITLE + key
        tall = max(panel.size.height for panel in panels)
        height = top + -(-len(panels) // across) * (tall + GAP)
        shown = (
            _placed(picture, panel, i % across * (wide + GAP), top + i // across * (tall + GAP))
            for i, (panel, picture) in enumerate(self.figure.panels)
        )
        ink = PAPER if paper else ""
        colour = "#1b1f24" if paper else "inherit"
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" width="{width:g}" '
            f'style="max-width:100%;height:auto;color:{colour}" role="img" aria-label="{escape(self.figure.title)}" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="currentColor">{ink}'
            f"{text(2, 15, f'{self.figure.title}: {self.of}', strong=True)}{''.join(names)}{''.join(shown)}</svg>"
        )

    def _key(self, width: float) -> tuple[float, list[str]]:
        """How high the names of the lines stand, and they."""
        x, y, found = 2.0, TITLE + 8, list[str]()
        for name, colour, dash in self.figure.key:
            long = DASH + LETTER * len(name) + 16
            if x > 2 and x + long > width:
                x, y = 2.0, y + LINE
            found += [_dashed(x, y - 4, colour, dash), text(x + DASH, y, name)]
            x += long
        return (y - TITLE + LINE - 8 if found else 0.0), found


def _dashed(x: float, y: float, colour: str, dash: str) -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{x:.1f},{y:.1f}h22" stroke="{colour}" stroke-width="2"{dashed}/>'


def _placed(picture: str, panel: Panel, x: float, y: float) -> str:
    """A panel's picture at a place of a larger one."""
    size = panel.size
    return picture.replace("<svg ", f'<svg x="{x:g}" y="{y:g}" width="{size.width:g}" height="{size.height:g}" ', 1)
