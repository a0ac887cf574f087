"""`tapered show`: a study's answer again, or how far it is, from its folder; nothing of the study is run or locked."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from tapered.cli.finish import PAGE
from tapered.cli.terminal import DONE, TONES, Flag, Json, console, print_json, table

if TYPE_CHECKING:
    from tapered.study.summary.kept import Shown
    from tapered.study.summary.unfinished import Standing


def show(
    folder: Path,
    /,
    *,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show a study's question and answer, or how far it is, and where its page is; also while it runs.

    Args:
        folder: The study's folder, studies/NAME-HASH.
        as_json: Print one JSON object, as the study itself does; of one that goes on with "finished": false.
        debug: Show a traceback when something fails.
    """
    from tapered.study.summary.kept import RESULT, kept  # noqa: PLC0415 - seconds, which --help need not wait for
    from tapered.study.summary.unfinished import STATED, unfinished  # noqa: PLC0415 - as above

    page = folder / PAGE
    if not (folder / RESULT).exists() and (folder / STATED).exists():
        return _standing(unfinished(folder), page, as_json=as_json)
    shown, fields, _ = kept(folder)
    if as_json:
        print_json(fields | {"folder": str(folder), "page": str(page) if page.is_file() else None})
        return DONE
    tell(shown)
    if page.is_file():
        console(stderr=False).print(Text(f"Page: {page}"), soft_wrap=True)
    return DONE


def _standing(found: "Standing", page: Path, *, as_json: bool) -> int:
    """How a study that is not finished stands."""
    from tapered.study.summary.answer import asked_lines  # noqa: PLC0415 - as above
    from tapered.study.summary.partial import so_far_rows, so_far_title  # noqa: PLC0415 - as above

    if as_json:
        print_json(found.fields | {"folder": str(found.folder), "page": str(page) if page.is_file() else None})
        return DONE
    out, (first, *others) = console(stderr=False), found.lines
    paragraphs(asked_lines(found.partial.study)[:1])
    out.print(Text(first, style="bold"))
    for line in others:
        out.print(Text(line))
    out.print()
    out.print(Text(so_far_title(found.partial)))
    out.print(table(so_far_rows(found.partial)))
    if page.is_file():
        out.print(Text(f"Page: {page}"), soft_wrap=True)
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
