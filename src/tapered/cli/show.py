"""`tapered show`: a finished study's answer again, from its folder; nothing of the study is run."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from tapered.cli.terminal import DONE, TONES, Flag, Json, console, print_json, table

if TYPE_CHECKING:
    from tapered.study.summary.kept import Shown

PAGE = "report.html"


def show(
    folder: Path,
    /,
    *,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show a finished study's question and answer, and where its page is.

    Args:
        folder: The study's folder, studies/NAME-HASH.
        as_json: Print one JSON object, as the study itself does.
        debug: Show a traceback when something fails.
    """
    from tapered.study.summary.kept import kept  # noqa: PLC0415 - seconds, which --help need not wait for

    shown, fields, _ = kept(folder)
    page = folder / PAGE
    if as_json:
        print_json(fields | {"folder": str(folder), "page": str(page) if page.is_file() else None})
        return DONE
    tell(shown)
    if page.is_file():
        console(stderr=False).print(Text(f"Page: {page}"), soft_wrap=True)
    return DONE


def tell(shown: "Shown") -> None:
    """The question, the verdict, what it rests on, the arms, what to bear in mind."""
    out = console(stderr=False)
    paragraphs(shown.asked[:1])
    for line, badge in shown.headline:
        out.print(Text(line, style=f"bold {TONES.get(badge, '')}".strip()))
    out.print()
    paragraphs(shown.asked[1:])
    if shown.verdicts:
        out.print(table(shown.verdicts, left=len(shown.verdicts[0]) - 3))  # names to the left, three columns of numbers
        out.print()
    out.print(Text(shown.title))
    out.print(table(shown.arms))
    for line in shown.notes:
        out.print(Text(f"- {line}"))


def paragraphs(asked: Iterable[Sequence[str]]) -> None:
    """What a study was asked, a paragraph each."""
    out, lines = console(stderr=False), [Text(f"{name}: {text}") for name, text in asked]
    for line in lines:
        out.print(line)
    if lines:
        out.print()
