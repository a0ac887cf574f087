"""What a notebook shows of a value: words, a picture, small tables, in the ink of what they stand on."""

from collections.abc import Iterable, Sequence
from html import escape
from math import isfinite

from tapered.pictures.panel import WHOLE, Panel
from tapered.pictures.scale import over

DRAWN = 400  # points of a line
Rows = Sequence[Sequence[str]]
CELL = "padding:2px 10px 2px 0;border-bottom:1px solid rgba(128,128,128,0.4);background:none;"


def fragment(
    headline: Sequence[str],
    *,
    lead: Sequence[str] = (),
    picture: str = "",
    tables: Sequence[tuple[str, Rows]] = (),
    notes: Sequence[str] = (),
) -> str:
    """A piece of HTML that loads nothing, runs nothing, and styles nothing but itself.

    Args:
        headline: What it says, a paragraph each.
        lead: What stands above it.
        picture: An <svg> element, or HTML around one.
        tables: (caption, rows), the first row the header; the first column is words, the others are numbers where they
            look so.
        notes: What else there is to say, folded away.
    """
    above = "".join(f'<div style="opacity:0.85">{escape(text)}</div>' for text in lead)
    line = "border-left:4px solid #0072B2;padding:2px 0 2px 12px;margin:6px 0;font-weight:600;max-width:100ch"
    said = "".join(f'<div style="{line}">{escape(text)}</div>' for text in headline)
    folded = "".join(f"<li>{escape(text)}</li>" for text in notes)
    more = f"<details><summary>Notes</summary><ul>{folded}</ul></details>" if notes else ""
    shown = "".join(_table(caption, rows) for caption, rows in tables)
    return f'<div style="font-family:system-ui,sans-serif">{above}{said}{picture}{shown}{more}</div>'


def line(points: Sequence[tuple[float, float]], said: str, names: tuple[str, str], *, log: bool) -> str:
    """A piece of HTML with one line, and what it says; what is not finite is left out.

    Args:
        points: From the left; of many about 400 are drawn.
        said: What it says.
        names: Of the axis below, and of that at the left.
        log: Whether the axis at the left is logarithmic, where it can be.
    """
    some = [*points[:: max(1, len(points) // DRAWN)], *points[-1:]]
    drawn = [(x, y if isfinite(y) else None) for x, y in some]
    below = over((x for x, _ in drawn), log=False)
    panel = Panel(below, over((y for _, y in drawn), log=log), WHOLE, f"{names[1]}: {said}", names=names)
    return fragment([said], picture=panel.svg([panel.line(drawn, "#0072B2")], across=WHOLE.width))


def _table(caption: str, rows: Rows) -> str:
    header, *body = rows
    sides = ["left" if i == 0 or not _numbers(row[i] for row in body) else "right" for i in range(len(header))]
    head = "".join(_cell("th", text, side, 'scope="col" ') for text, side in zip(header, sides, strict=True))
    lines = (
        "".join(_cell("td" if i else "th", text, sides[i], "" if i else 'scope="row" ') for i, text in enumerate(row))
        for row in body
    )
    shown = "".join(f"<tr>{line}</tr>" for line in lines)
    said = f'<caption style="text-align:left;opacity:0.85;caption-side:top">{escape(caption)}</caption>'
    return (
        f'<div style="overflow-x:auto"><table style="border-collapse:collapse;margin:8px 0;font-size:0.95em">{said}'
        f"<thead><tr>{head}</tr></thead><tbody>{shown}</tbody></table></div>"
    )


def _cell(tag: str, text: str, side: str, more: str) -> str:
    weight = "font-weight:400;" if 'row"' in more else ""
    return f'<{tag} {more}style="{CELL}{weight}text-align:{side}">{escape(text)}</{tag}>'


def _numbers(cells: Iterable[str]) -> bool:
    """Whether all of these begin as numbers do, and none is a schedule; a dash stands for none."""
    return all((cell[:1].isdigit() or cell[:1] in "-+.") and " * " not in cell for cell in cells)
