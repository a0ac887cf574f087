"""Steps that runs of a script share: a donor's checkpoint is taken over, where the script goes on exactly from it.

donor  ──────●─────────●────────►      ● saved; the child takes the one nearest before they part
             ╰──┬ (parts here)
child           ╰───────────────►      its out/ begins with that checkpoint
"""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts.checkpoints import Checkpoint, found
from tapered.study.plan.forest import Forest
from tapered.study.script.outcome import RECORD

FICLONE = 0x40049409  # Linux: a copy that shares its blocks until one is written


@dataclass(frozen=True)
class Donor:
    """Whose steps a run shares.

    Args:
        key: The run's.
        step: How many of them.
    """

    key: str
    step: int


def donors(forest: Forest) -> dict[str, Donor]:
    """Run key -> whose steps it shares; runs that share nobody's are not in it.

    In each segment the first of its runs goes on, and the others take over from it where they part.
    """
    segments, found_ = forest.plan.segments, dict[str, Donor]()
    for run, path in enumerate(forest.plan.paths):
        shared = [segments[i] for i in path if segments[i].runs[0] != run]
        if shared:
            # ascending indices: who leads the last segment that this run does not lead
            last = shared[-1]
            found_[forest.tasks[run].run.key] = Donor(forest.tasks[last.runs[0]].run.key, last.stop)
    return found_


def wanted(all_donors: Mapping[str, Donor]) -> dict[str, tuple[int, ...]]:
    """Run key -> the steps after which others part from it."""
    steps: dict[str, set[int]] = {}
    for donor in all_donors.values():
        steps.setdefault(donor.key, set()).add(donor.step)
    return {key: tuple(sorted(each)) for key, each in steps.items()}


def nearest(pattern: str, folder: Path, step: int) -> Checkpoint | None:
    """The last checkpoint of a run at or before a step that nobody has written to since it ended."""
    there = [one for one in found(pattern, folder / "out") if one.step is not None and 0 < one.step <= step]
    try:
        ended = (folder / RECORD).stat().st_mtime_ns
    except OSError:
        return None
    whole = [one for one in there if all(file.lstat().st_mtime_ns <= ended for file in _files(one.path))]
    return max(whole, key=lambda one: one.step or 0, default=None)


def _files(path: Path) -> Iterator[Path]:
    return path.rglob("*") if path.is_dir() else iter([path])


def hand_over(checkpoint: Checkpoint, donor: Path, child: Path) -> None:
    """Put a donor's checkpoint where the child's script looks for its own; whole, or not at all.

    Blocks are shared where the disk can do that; else files are linked, as their names have steps in them and are
    written once; else they are copied.

    Raises:
        OSError: The disk does not take it.
    """
    place = child / "out" / checkpoint.path.relative_to(donor / "out")
    place.parent.mkdir(parents=True, exist_ok=True)
    half = child / "handed"
    _remove(half)
    if checkpoint.path.is_dir():
        shutil.copytree(checkpoint.path, half, copy_function=_take, symlinks=True)
    else:
        _take(str(checkpoint.path), str(half))
    _remove(place)
    half.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _take(source: str, target: str) -> str:
    """A file as another: its blocks, or itself by another name, or a copy."""
    if not _cloned(source, target):
        os.unlink(target)  # noqa: PTH108 - as copytree gives them
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    return target


def _cloned(source: str, target: str) -> bool:
    with open(source, "rb") as old, open(target, "xb") as new:  # noqa: PTH123 - as above
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:
            return False
    return True
