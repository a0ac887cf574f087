"""What is left of the last checkpoint when a save is killed or the disk fills: torch.save over one file, and ours."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tapered.checkpoint import CheckpointError, resume, save

NUMBERS = 4_000_000  # 16 MB: a save takes long enough to be hit


def torch_save(folder: Path, step: int, weight: torch.Tensor) -> None:
    torch.save({"step": step, "weight": weight}, folder / "last.pt")


def torch_usable(folder: Path, weight: torch.Tensor) -> bool:
    try:
        found = torch.load(folder / "last.pt", weights_only=True)
    except Exception:  # noqa: BLE001 - it raises of many kinds
        return False
    return torch.equal(found["weight"], weight)


def our_save(folder: Path, step: int, weight: torch.Tensor) -> None:
    if step > 1:
        resume(folder, weight=weight)
    save(folder, step, weight=weight)


def our_usable(folder: Path, weight: torch.Tensor) -> bool:
    found = torch.zeros_like(weight)
    try:
        resume(folder, weight=found, partial=True)
    except CheckpointError:
        return False
    return torch.equal(found, weight)


SIDES = {"torch": (torch_save, torch_usable), "ours": (our_save, our_usable)}


def child(act: Callable[[], object]) -> tuple[int, int]:
    """A process that says when it begins and when it has ended."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return pid, reader
    try:
        torch.set_num_threads(1)  # the parent's threads did not come along
        os.write(writer, b"b")
        act()
        os.write(writer, b"e")
    finally:
        os._exit(0)


def finished(act: Callable[[], object], after: float | None = None) -> tuple[bool, float]:
    """Run it, killed with -9 after so many seconds; whether it ended before, and the seconds it took."""
    pid, reader = child(act)
    os.read(reader, 1)
    begun = time.perf_counter()
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    ended = os.read(reader, 1) == b"e"
    took = time.perf_counter() - begun
    os.waitpid(pid, 0)
    os.close(reader)
    return ended, took


def killed(side: str, kills: int = 24) -> tuple[int, int]:
    """Of so many saves, killed at even distances before they ended, how many leave a usable checkpoint."""
    write, usable = SIDES[side]
    weight, good, done = torch.arange(float(NUMBERS)), 0, 0
    with tempfile.TemporaryDirectory() as place:
        took = measured(write, Path(place), weight)
        for attempt in range(4 * kills):
            folder = Path(place) / str(attempt)
            folder.mkdir()
            finished(lambda folder=folder: write(folder, 1, weight))
            ended, _ = finished(lambda folder=folder: write(folder, 2, weight), took * (attempt % kills + 0.5) / kills)
            done += not ended
            good += not ended and usable(folder, weight)
            subprocess.run(["rm", "-r", folder], check=True)
            if done == kills:
                break
    return good, done


def measured(write: Callable[..., None], place: Path, weight: torch.Tensor) -> float:
    """Seconds of an undisturbed second save."""
    folder = place / "measured"
    folder.mkdir()
    finished(lambda: write(folder, 1, weight))
    return min(finished(lambda: write(folder, 2, weight))[1] for _ in range(2))


def on_a_small_disk() -> dict[str, Any]:
    """Run `fill` on a disk of 6 MB in a process that may mount one; empty where none may."""
    code = "import json, sys; from inputs.disks import fill; print(json.dumps(fill(sys.argv[1])))"
    with tempfile.TemporaryDirectory() as place:
        mounted = 'mount -t tmpfs -o size=6m tapered "$1" && exec "$0" -c "$2" "$1"'
        call = ["unshare", "-rm", "sh", "-c", mounted, sys.executable, place, code]
        try:
            ran = subprocess.run(call, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent)
        except (OSError, subprocess.CalledProcessError):
            return {}
    return dict(json.loads(ran.stdout))


def fill(place: str) -> dict[str, Any]:
    """A first save of 2.4 MB and, as with Adam's moments, a second of 7.2 MB, for which there is no room."""
    small, large, found = torch.ones(600_000), torch.ones(1_800_000), {}
    for side, (write, usable) in SIDES.items():
        folder = Path(place) / side
        folder.mkdir()
        write(folder, 1, small)
        said = ""
        try:
            torch_save(folder, 2, large) if side == "torch" else save(folder, 2, weight=large)
        except Exception as error:  # noqa: BLE001 - what it raises is the finding
            said = f"{type(error).__name__}: {error}"
        left = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
        found[side] = {"usable": usable(folder, small), "said": said, "left": left}
        subprocess.run(["rm", "-r", folder], check=True)
    return found
