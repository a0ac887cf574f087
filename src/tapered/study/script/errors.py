"""How a study of a script ends without a verdict, in words."""

from collections.abc import Sequence
from pathlib import Path

from tapered.files.errors import StoreError
from tapered.scripts.ended import Ended
from tapered.study.result.witnessed import named
from tapered.study.store.runs import Run
from tapered.words import counted

SHOWN = 3  # runs whose last lines are shown


class RefusedRunError(Exception):
    """A run that did something else than it was asked, so that no verdict may rest on it."""


class FailedRunsError(Exception):
    """Runs that did not come to their end; the others are finished and kept."""


def raised(folder: Path, error: Exception) -> Exception:
    """What a start of a run was ended by, as a study says it: a full disk by what it did not take."""
    if not isinstance(error, OSError):
        return error
    return StoreError(f"{folder} could not take what is written of its run ({error.strerror or error}); make room")


def refused(run: Run, ended: Ended, rate: str, folder: str) -> RefusedRunError:
    """That a run is refused, why, and what to do."""
    fix = ""
    if "rate" in ended.why and rate == "see":
        fix = '; let the script apply the rates of its arm, or try rate = "set", which applies them from outside'
    return RefusedRunError(f"REFUSED: {named(run)} {ended.why}{fix}; what it wrote is kept in {folder}")


def ignored(run: Run, other: Run, folder: Path) -> RefusedRunError:
    """That a run told what another seed told."""
    return RefusedRunError(
        f"REFUSED: {named(run)} told the same numbers as seed {other.seed} at all of {len(run.curve)} steps, so that "
        f"the seed has no effect, and pairs of seeds would be one pair; let the script draw from {{seed}}, and delete "
        f"{folder}"
    )


def failed(ends: Sequence[tuple[Run, Ended, str]], of: int) -> FailedRunsError:
    """That runs did not come to their end, with what they wrote last."""
    parts = [f"{counted(len(ends), 'run')} of {of} failed; the same command tries again, and keeps what is finished."]
    for run, ended, folder in ends[:SHOWN]:
        lines = "".join(f"\n    {line}" for line in ended.lines)
        starts = counted(ended.starts, "start")
        why = "; ".join((ended.why, *ended.notes))
        parts.append(f"{named(run)} {ended.word} at step {ended.step} after {starts}: {why} ({folder}){lines}")
    if len(ends) > SHOWN:
        parts.append(f"... and {len(ends) - SHOWN} more.")
    return FailedRunsError("\n".join(parts))
