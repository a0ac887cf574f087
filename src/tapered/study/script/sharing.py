"""Steps that runs of a script share: a donor's checkpoint is taken over, where the script goes on exactly from it.

donor  ──────●─────────●────────►      ● saved; the child takes the one nearest before they part
             ╰──┬ (parts here)
child           ╰───────────────►      its out/ begins with that checkpoint
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tapered.scripts.checkpoints import found
from tapered.study.plan.forest import Forest
from tapered.study.script.outcome import RECORD

KEPT = "kept"  # in a run's folder: checkpoints that it wrote over, a folder a step
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


@dataclass(frozen=True)
class Saved:
    """A checkpoint that may be taken over.

    Args:
        step: Updates made.
        path: Where it is.
        out: Below which it is where a script looks for it.
    """

    step: int
    path: Path
    out: Path


def usable(pattern: str, folder: Path) -> list[Saved]:
    """The checkpoints of a run that nobody has written to since it ended, oldest first."""
    there = [Saved(one.step, one.path, folder / "out") for one in found(pattern, folder / "out") if one.step]
    for kept in (folder / KEPT).glob("*"):
        there += [Saved(int(kept.name), one.path, kept) for one in found(pattern, kept) if kept.name.isdigit()]
    try:
        ended = (folder / RECORD).stat().st_mtime_ns
    except OSError:
        return []
    whole = (one for one in there if all(file.lstat().st_mtime_ns <= ended for file in _files(one.path)))
    return sorted(whole, key=lambda one: one.step)


def nearest(pattern: str, folder: Path, step: int, every: int = 1) -> Saved | None:
    """The last usable checkpoint of a run at or before a step.

    Args:
        pattern: Their path.
        folder: The run's.
        step: Where another run parts from it.
        every: Updates between those from which its script goes on exactly.
    """
    return next((one for one in usable(pattern, folder)[::-1] if one.step <= step and one.step % every == 0), None)


def _files(path: Path) -> Iterator[Path]:
    return path.rglob("*") if path.is_dir() else iter([path])


def keep(pattern: str, folder: Path, step: int) -> None:
    """Copy the checkpoint of a run that has ended at a step, as the run will write over it.

    Raises:
        OSError: The disk does not take it.
    """
    for one in found(pattern, folder / "out")[-1:]:
        _put(one.path, folder / KEPT / str(step) / one.path.relative_to(folder / "out"), folder, _copied)


def hand_over(saved: Saved, child: Path) -> None:
    """Put a checkpoint where the child's script looks for its own; whole, or not at all.

    Blocks are shared where the disk can do that; else files are linked, as their names have steps in them and are
    written once; else they are copied.

    Raises:
        OSError: The disk does not take it.
    """
    linked = saved.out.name == "out"
    _put(saved.path, child / "out" / saved.path.relative_to(saved.out), child, _linked if linked else _copied)


def _put(path: Path, place: Path, folder: Path, take: Callable[[str, str], str]) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    half = folder / "handed"
    _remove(half)
    if path.is_dir():
        shutil.copytree(path, half, copy_function=take, symlinks=True)
    else:
        take(str(path), str(half))
    _remove(place)
    half.rename(place)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _linked(source: str, target: str) -> str:
    """A file as another: its blocks, or itself by another name, or a copy."""
    if not _cloned(source, target):
        Path(target).unlink(missing_ok=True)
        try:
            os.link(source, target)
        except OSError:
            shutil.copy2(source, target)
    return target


def _copied(source: str, target: str) -> str:
    """A file as another that can be written over: its blocks, or a copy."""
    if not _cloned(source, target):
        shutil.copyfile(source, target)
    return target


def _cloned(source: str, target: str) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - not everywhere
    except ImportError:
        return False
    with open(source, "rb") as old, open(target, "xb") as new:  # noqa: PTH123 - as above
        try:
            fcntl.ioctl(new.fileno(), FICLONE, old.fileno())
        except OSError:
            return False
    return True
