"""A finished study's result as it is kept beside its page, for who looks at it later: `result.json`.

StudyResult ─► shown: what a terminal prints    summary: what --json prints    drawn: what figures are of
            ─► result.json ─► show, export, a notebook
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from tapered.files import whole
from tapered.files.errors import StoreError
from tapered.files.sealed import sealed, unsealed
from tapered.study.result import StudyResult
from tapered.study.result.followed import followed
from tapered.study.store.look import NO_STUDY
from tapered.study.summary.answer import SENTENCES, arm_rows, arms_title, asked_lines, headline, verdict_rows
from tapered.study.summary.fields import summary
from tapered.study.summary.text import cost_lines, searched_lines

RESULT, SCHEMA = "result.json", 1
LIMIT = 1 << 28  # bytes: a result is text, and what is longer is none


@dataclass(frozen=True)
class Shown:
    """What a terminal shows of a result: lines, and small tables whose first row is the header.

    Args:
        asked: What the study was asked, ("Question", its text) and so on.
        headline: The verdicts, each with its badge; "" beside what is no single verdict.
        verdicts: Every comparison; empty where there is one.
        title: What the arms' values are.
        arms: The arms.
        notes: What was searched, what to bear in mind, what it took.
    """

    asked: list[list[str]]
    headline: list[list[str]]
    verdicts: list[list[str]]
    title: str
    arms: list[list[str]]
    notes: list[str]

    @classmethod
    def of(cls, result: StudyResult) -> Self:
        """That of a result."""
        few = len(result.comparisons) <= SENTENCES
        badges = [comparison.badge for comparison in result.comparisons] if few else []
        lines = headline(result)
        return cls(
            asked=[list(pair) for pair in asked_lines(result.asked.study)],
            headline=[list(pair) for pair in zip(lines, badges + [""] * len(lines), strict=False)],
            verdicts=[list(row) for row in verdict_rows(result)] if len(result.comparisons) > 1 else [],
            title=arms_title(result),
            arms=[list(row) for row in arm_rows(result)],
            notes=[
                *searched_lines(result),
                *(found.line for found in followed(result.asked, result.arms)),
                *result.caveats,
                *cost_lines(result.cost),
                *(result.script.lines if result.script else ()),
            ],
        )


class Kept(NamedTuple):
    """What is kept of a result.

    Args:
        shown: What a terminal shows.
        summary: What --json prints.
        drawn: What its figures are drawn of; empty where an earlier version kept it.
    """

    shown: Shown
    summary: dict[str, Any]
    drawn: Mapping[str, Any]

    @classmethod
    def of(cls, result: StudyResult, drawn: Mapping[str, Any]) -> Self:
        """That of a result."""
        return cls(Shown.of(result), summary(result), drawn)


def keep(result: Kept, folder: Path) -> None:
    """Keep a result as the folder's `result.json`, whole.

    Raises:
        OSError: The disk does not take it.
    """
    fields = {"schema": SCHEMA, **result._asdict(), "shown": vars(result.shown)}
    whole.replace(folder / RESULT, sealed(fields).encode())


def kept(folder: Path) -> Kept:
    """What `keep` kept of a study. Nothing of the study is run.

    Raises:
        StoreError: There is none, as where the study is not finished, or it is not what was written.
    """
    path = folder / RESULT
    if not path.exists():
        if not (folder / "runs").is_dir():
            raise StoreError(f"{folder} {NO_STUDY}")
        raise StoreError(
            f"{folder} has no result yet: its study goes on; tapered study FILE --store={folder} finishes it"
        )
    try:
        own = whole.plain(path) and path.stat().st_size <= LIMIT
        fields = unsealed(path.read_text() if own else "")
        found = Kept(Shown(**fields["shown"]), dict(fields["summary"]), dict(fields.get("drawn", {})))
    except (ValueError, TypeError, KeyError) as error:
        raise StoreError(f"{path} was damaged ({error}); the study's own command writes it again") from None
    if fields.get("schema") != SCHEMA:
        raise StoreError(f"{path} is of another version of tapered; the study's own command writes it again")
    return found
