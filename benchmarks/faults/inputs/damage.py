"""Checkpoints that were damaged or made to do harm: seven kinds of damage, and files that try to run code."""

import hashlib
import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

from tapered.checkpoint import CheckpointWarning, release, resume, save

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zero bytes": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "one byte short": lambda data: data[:-1],
    "a bit flipped": lambda data: flipped(data, len(data) // 2),
    "garbage head": lambda data: bytes(64) + data[64:],
    "junk appended": lambda data: data + b"junk" * 16,
    "zeroed tail": lambda data: data[: -len(data) // 4] + bytes(len(data) - len(data[: -len(data) // 4])),
}
WEIGHT = torch.linspace(1, 2, 10_000)


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def torch_detects() -> dict[str, bool]:
    """Which damages torch.load notices, by kind."""
    found = {}
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "last.pt"
        torch.save({"weight": WEIGHT}, path)
        data = path.read_bytes()
        for kind, damage in DAMAGE.items():
            path.write_bytes(damage(data))
            try:
                torch.load(path, weights_only=True)
            except Exception:  # noqa: BLE001 - it raises of many kinds
                found[kind] = True
            else:
                found[kind] = False
    return found


def ours_detects() -> dict[str, bool]:
    """Which damages to any file of the newest checkpoint are noticed, said, and survived with the one before."""
    found = dict.fromkeys(DAMAGE, True)
    with tempfile.TemporaryDirectory() as place:
        for step in (1, 2):
            newest = save(place, step, weight=step * WEIGHT)
        for path in (path for path in newest.iterdir() if path.is_file()):
            data = path.read_bytes()
            for kind, damage in DAMAGE.items():
                path.write_bytes(damage(data))
                found[kind] &= fell_back(place)
            path.write_bytes(data)
        release(place)
    return found


def fell_back(place: str) -> bool:
    """The checkpoint of step 1 was used, and the damaged one named."""
    weight = torch.zeros_like(WEIGHT)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        went_on = resume(place, weight=weight, partial=True)
    said = any(issubclass(w.category, CheckpointWarning) and "step2" in str(w.message) for w in warned)
    return said and went_on.step == 1 and torch.equal(weight, WEIGHT) and bool(went_on.skipped)


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (self.path, "w")


def torchs_loads(place: Path, bomb: bytes) -> list[Callable[[], object]]:
    """Ways in which a file's bytes reach torch: a .pt file, and a folder of torch.distributed.checkpoint."""
    from torch.distributed import checkpoint

    (place / "bomb.pt").write_bytes(bomb)
    (place / "folder").mkdir()
    (place / "folder" / ".metadata").write_bytes(bomb)
    return [
        lambda: torch.load(place / "bomb.pt"),
        lambda: checkpoint.load({"weight": torch.zeros(2)}, checkpoint_id=place / "folder"),
    ]


def our_loads(place: Path, bomb: bytes) -> list[Callable[[], object]]:
    """Checkpoints whose files are the bomb, lie outside, are no JSON, or claim to be huge; their digests are right."""
    header = (10**12).to_bytes(8, "little") + bomb
    deep = b"[" * 100_000 + b"]" * 100_000
    makes: list[dict[str, bytes]] = [
        {"tensors-0.safetensors": bomb},
        {"tensors-0.safetensors": header},
        {"state.json": bomb},
        {"state.json": deep},
        {"manifest.json": bomb},
        {"optimizer.pt": bomb},
        {"../../outside": bomb},
    ]
    return [lambda at=at, files=files: loaded(place / str(at), files) for at, files in enumerate(makes)]


def loaded(folder: Path, files: dict[str, bytes]) -> None:
    """Write a checkpoint, put the files into it as one who knows the format would, and resume."""
    path = save(folder, 1, weight=WEIGHT)
    fields = json.loads((path / "manifest.json").read_text())
    del fields["digest"]
    for name, data in files.items():
        (path / name).write_bytes(data)
        if name != "manifest.json":
            fields["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            digest = hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()
            text = json.dumps({**fields, "digest": digest}, sort_keys=True, indent=1)
            (path / "manifest.json").write_text(text + "\n")
    release(folder)
    resume(folder, weight=torch.zeros_like(WEIGHT), partial=True)


LOADS = {"torch": torchs_loads, "ours": our_loads}


def runs_code(side: str, *, forced: bool) -> tuple[int, int, int]:
    """How many hostile loads ran code, how many were refused, and of how many; `forced` turns torch's guard off."""
    code = f"from inputs.damage import attempts; print(*attempts({side!r}))"
    env = {**os.environ, **({"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"} if forced else {})}
    call = [sys.executable, "-W", "ignore", "-c", code]
    ran = subprocess.check_output(call, env=env, text=True, cwd=Path(__file__).parent.parent)
    one, two, three = map(int, ran.split())
    return one, two, three


def attempts(side: str) -> tuple[int, int, int]:
    """In this process: loads that ran code, that were refused, and all."""
    ran = refused = 0
    with tempfile.TemporaryDirectory() as name:
        place, mark = Path(name), Path(name) / "ran"
        loads = LOADS[side](place, pickle.dumps(Bomb(str(mark))))
        for load in loads:
            try:
                load()
            except BaseException:  # noqa: BLE001 - torch.distributed.checkpoint's own is none of Exception's
                refused += 1
            ran += mark.exists()
            mark.unlink(missing_ok=True)
    return ran, refused, len(loads)
