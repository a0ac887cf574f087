"""A study that is not finished, from its folder alone: how far it is, who works there, since when nothing was kept.

folder ─► looked, begun ─► partial ─► Standing: sentences, a table, JSON
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tapered.study.result.partial import Partial, partial
from tapered.study.script.begun import begun
from tapered.study.store.look import STATED, Looked, looked
from tapered.study.summary.partial import partial_fields, standing_lines
from tapered.words import counted, lasting

__all__ = ["STATED", "Standing", "unfinished"]


@dataclass(frozen=True)
class Standing:
    """How a study stands.

    Args:
        partial: How far it is, and what it says so far.
        looked: What was read of its folder.
        folder: That.
    """

    partial: Partial
    looked: Looked
    folder: Path

    @property
    def lines(self) -> list[str]:
        """How far it is, then who works there and since when nothing was kept; the first as a headline."""
        return [*standing_lines(self.partial), *self._work(), *self._damage()]

    @property
    def silent(self) -> float | None:
        """Seconds since a run was last kept."""
        return None if self.looked.written is None else max(0.0, time.time() - self.looked.written)

    @property
    def fields(self) -> dict[str, Any]:
        """As JSON takes it."""
        owner, written = self.looked.owner, self.looked.written
        return {
            **partial_fields(self.partial),
            "owner": owner and owner.text,
            "running": False if owner is None else owner.lives,
            "written": None if written is None else datetime.fromtimestamp(written, UTC).isoformat(),
            "seconds_since": self.silent,
            "damaged": list(self.looked.damaged),
        }

    def _work(self) -> Iterator[str]:
        owner, silent = self.looked.owner, self.silent
        since = "nothing was kept yet" if silent is None else f"the last was kept {lasting(silent)} ago"
        if owner is None:
            yield f"Nobody works there; {since}. Its own command goes on with it."
        elif owner.lives is False:
            yield f"{owner.text[:1].upper()}{owner.text[1:]} was ended there; {since}. Its own command goes on with it."
        else:
            yield f"{owner.text[:1].upper()}{owner.text[1:]} works there; {since}."

    def _damage(self) -> Iterator[str]:
        if damaged := self.looked.damaged:
            names = ", ".join(damaged[:3]) + (", ..." if len(damaged) > 3 else "")
            yield f"{counted(len(damaged), 'file')} in runs/ {'is' if len(damaged) == 1 else 'are'} damaged: {names}."


def unfinished(folder: Path) -> Standing:
    """How the study of a folder stands. Nothing is run, locked or written.

    Raises:
        StoreError: There is none, or its file cannot be read.
    """
    found = looked(folder)
    runs = found.runs
    if found.study.script is not None and (folder / "runs").is_dir():
        kept = {run.key for run in runs}
        runs = (*runs, *begun(folder / "runs", kept, found.study.metric))
    return Standing(partial(found.study, runs), found, folder)
