"""Results of claims as JSON: those that the package brings, made by `tapered claims --run --keep`, and new ones."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from tapered.claims.base import Answer, Claim, Summary
from tapered.files.whole import replace
from tapered.study.plan.facts import environment

Entry = dict[str, Any]
FILE = "results.json"


@dataclass(frozen=True)
class Measured:
    """A study that was run for a claim.

    Args:
        summary: Its result.
        folder: Where its runs and its page are.
    """

    summary: Summary
    folder: Path


def kept() -> dict[str, Entry]:
    """The results that the package brings, by question."""
    text = (resources.files("tapered.claims") / FILE).read_text()
    return {entry["question"]: entry for entry in json.loads(text)["claims"]}


def shown(claims: Iterable[Claim], found: Mapping[str, Entry]) -> list[Entry]:
    """An entry for each claim, without an answer where none was found."""
    return [found.get(claim.question) or {**_stated(claim), "word": None} for claim in claims]


def entry(claim: Claim, answer: Answer, studies: Mapping[str, Measured], *, quick: bool, seconds: float) -> Entry:
    """A claim's result as JSON takes it.

    Args:
        claim: The claim.
        answer: What was found.
        studies: The studies that were run for it, by name.
        quick: Whether they were the quick ones.
        seconds: What it took; little where results were there already.
    """
    found = {"word": answer.word, "why": answer.why, "figures": dict(answer.figures)}
    made = {"quick": quick, "seconds": round(seconds, 1), "date": str(datetime.now(UTC).date())}
    return {
        **_stated(claim),
        **found,
        "studies": [_study(name, measured) for name, measured in studies.items()],
        **made,
        "environment": environment(),
    }


def _stated(claim: Claim) -> Entry:
    return {"question": claim.question, "said": claim.said}


def _study(name: str, measured: Measured) -> dict[str, Any]:
    found = measured.summary
    parts = {key: found[key] for key in ("sentence", "caveats", "runs", "updates", "updates_made")}
    return {"name": name, "folder": str(measured.folder), **parts}


def keep(path: Path, entries: Sequence[Entry], order: Sequence[str]) -> None:
    """Write results to a file, in the place of those of the same claims; the others stay.

    Args:
        path: The file; it need not be there.
        entries: The new results.
        order: All questions, in order.
    """
    old = json.loads(path.read_text())["claims"] if path.exists() else []
    found = {part["question"]: part for part in (*old, *entries)}
    text = json.dumps({"claims": [found[q] for q in order if q in found]}, indent=1, allow_nan=False)
    replace(path, f"{text}{os.linesep}".encode())
