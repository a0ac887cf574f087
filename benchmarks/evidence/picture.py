"""Writes docs/pictures/bmi.svg, README's picture: question, answer and two figures of the built-in study's own page.

python benchmarks/evidence/picture.py [FOLDER]      trains what the folder of the study has not got: half a minute
"""

import sys
from html import escape
from pathlib import Path

from tapered.pictures import WHOLE
from tapered.report import Figure, figures, plot_data
from tapered.study import conclude, open_store, plan_of, read, train_runs
from tapered.study.result import StudyResult
from tapered.study.summary import headline

PICTURE = Path(__file__).parents[2] / "docs" / "pictures" / "bmi.svg"
EDGE, TOP, LETTERS = 24, 118, 98  # of the sheet; where figures begin; characters of a line
SHOWN = {"curves": "Validation loss over the run", "sensitivity": "How much the peak rate matters"}


def found(folder: Path) -> StudyResult:
    planned = plan_of(read("bmi"))
    with open_store(planned, folder) as store:
        return conclude(planned, store, train_runs(planned, store))


def words(x: float, y: float, said: str, size: int, more: str = "") -> str:
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" {more}>{escape(said)}</text>'


def key(figure: Figure, x: float, y: float) -> str:
    """The arms' names beside their lines."""
    parts = []
    for name, colour, dash in figure.key:
        parts.append(f'<path d="M{x:g},{y - 4:g}h26" stroke="{colour}" stroke-width="2.5" stroke-dasharray="{dash}"/>')
        parts.append(words(x + 32, y, name, 13))
        x += 52 + 7 * len(name)
    return "".join(parts)


def picture(result: StudyResult) -> str:
    """A sheet of paper, white in the dark as well, since a page that shows it as an image gives it no ink."""
    drawn = {figure.name: figure for figure in figures(plot_data(result)) if figure.name in SHOWN}
    width, height = 2 * WHOLE.width + 3 * EDGE, TOP + 26 + WHOLE.height + EDGE
    lines = " ".join(headline(result))
    cut = lines.rfind(", ", 0, LETTERS) + 1 if len(lines) > LETTERS else len(lines)
    parts = [
        words(EDGE, 34, result.asked.study.question, 15, 'fill-opacity="0.75"'),
        words(EDGE, 60, lines[:cut], 17, 'font-weight="600"'),
        words(EDGE, 82, lines[cut:].strip(), 17, 'font-weight="600"'),
        key(drawn["curves"], EDGE, TOP - 10),
    ]
    for place, (name, title) in enumerate(SHOWN.items()):
        left = EDGE + place * (WHOLE.width + EDGE)
        parts.append(words(left, TOP + 20, title, 14))
        ((_, panel),) = drawn[name].panels
        parts.append(f'<svg x="{left:g}" y="{TOP + 26}" width="{WHOLE.width}" height="{WHOLE.height}">{panel}</svg>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" color="#1b1b1b" '
        f'fill="#1b1b1b" font-family="system-ui, sans-serif" aria-label="{escape(lines)}">'
        f'<rect width="100%" height="100%" rx="8" fill="#fff"/>{"".join(parts)}</svg>\n'
    )


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(found(Path(sys.argv[1] if len(sys.argv) > 1 else "studies/picture"))))
    print(PICTURE)
