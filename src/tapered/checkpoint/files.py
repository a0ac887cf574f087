"""A checkpoint's folder on the disk: written whole or not at all, read only as it was written.

FOLDER/
  lock, owner          who writes here
  000012-step3000/     sequence and step; a higher sequence is newer, whatever a clock says
    tensors-0.safetensors, ...   at most a gigabyte each
    state.json         everything else
    manifest.json      size and SHA-256 of the files above, and of itself; written last
  .tmp-000013-step3100/   a save on its way, or what a kill left of it
  .old-000009-step2700/   one that is being deleted
"""

import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

from tapered.files import whole
from tapered.files.errors import CheckpointError, DamagedError

FORMAT = 1
MANIFEST, STATE = "manifest.json", "state.json"
FOLDER_NAME = re.compile(r"([0-9]{6,})-step([0-9]+)")  # as long as a name may be, so that none is written unseen
FILE_NAME = re.compile(r"state\.json|tensors-\d{1,6}\.safetensors")
MANIFEST_LIMIT = 64 << 20


def name_of(sequence: int, step: int) -> str:
    """The folder's name.

    >>> name_of(12, 3000)
    '000012-step3000'
    """
    return f"{sequence:06d}-step{step}"


def place_of(path: Path) -> tuple[int, int]:
    """Sequence and step that a checkpoint's name says."""
    sequence, step = FOLDER_NAME.fullmatch(path.name).groups()  # type: ignore[union-attr]  # `listed` found it so
    return int(sequence), int(step)


def listed(folder: Path) -> list[Path]:
    """The checkpoints in a folder, the newest first; by sequence, never by time."""
    try:
        found = [path for path in folder.iterdir() if FOLDER_NAME.fullmatch(path.name)]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found, key=place_of, reverse=True)


def write(folder: Path, name: str, files: Iterable[tuple[str, bytes]], fields: dict[str, Any]) -> Path:
    """Write a checkpoint: temporary folder, every file and the manifest flushed, read again, renamed, flushed.

    Raises:
        OSError, DamagedError: the disk did not take it; the temporary folder is gone.
    """
    temporary, final = folder / f".tmp-{name}", folder / name
    try:
        os.mkdir(temporary)  # noqa: PTH102 - the system's own calls, at each of which a test kills
        entries = {}
        for file, data in files:
            whole.write(temporary / file, data)
            entries[file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        whole.write(temporary / MANIFEST, manifest_text({**fields, "files": entries}))
        whole.sync(temporary)
        verify(temporary)
        os.rename(temporary, final)  # noqa: PTH104 - as above
        whole.sync(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return final


def remove(path: Path) -> None:
    """Delete a checkpoint; under another name first, so that no kill leaves half of one."""
    if path.is_symlink():  # what it points to is not ours
        path.unlink()
        return
    old = path.with_name(f".old-{path.name}")
    os.rename(path, old)  # noqa: PTH104 - as above
    shutil.rmtree(old, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Delete what kills left behind."""
    for path in folder.iterdir():
        if path.name.startswith((".tmp-", ".old-")) and FOLDER_NAME.fullmatch(path.name[5:]):
            shutil.rmtree(path, ignore_errors=True)


def manifest_text(fields: dict[str, Any]) -> bytes:
    """The manifest with its own digest."""
    text = json.dumps(fields, sort_keys=True, allow_nan=False)
    digest = hashlib.sha256(text.encode()).hexdigest()
    return (json.dumps({**fields, "digest": digest}, sort_keys=True, indent=1, allow_nan=False) + "\n").encode()


def manifest(path: Path) -> dict[str, Any]:
    """A checkpoint's manifest.

    Raises:
        DamagedError: it is not the one that was written, or stands under another name.
        CheckpointError: another format than this library's.
    """
    data = read_file(path / MANIFEST, MANIFEST_LIMIT)
    try:
        fields = json.loads(data)
        fields.pop("digest")
        intact = manifest_text(fields) == data
        place = int(fields["sequence"]), int(fields["step"])
        entries = {str(file): (int(e["bytes"]), str(e["sha256"])) for file, e in fields["files"].items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(f"{MANIFEST} is not what was written ({type(error).__name__})") from error
    if not intact:
        raise DamagedError(f"{MANIFEST} differs from its own SHA-256")
    if fields["format"] != FORMAT:
        raise CheckpointError(
            f"{path} was written by tapered {fields['tapered']} in format {fields['format']}; this is tapered "
            f"{version()}, which reads format {FORMAT}; install tapered {fields['tapered']} to go on from it"
        )
    if path.name not in (name_of(*place), f".tmp-{name_of(*place)}"):
        raise DamagedError(f"{MANIFEST} belongs to {name_of(*place)}")
    strange = [file for file in entries if not FILE_NAME.fullmatch(file)]
    if strange or STATE not in entries:
        raise DamagedError(f"{MANIFEST} lists {strange or 'no ' + STATE}, which is no file of a checkpoint")
    return dict(fields)


def read(path: Path, fields: dict[str, Any], file: str) -> bytes:
    """One of a checkpoint's files.

    Raises:
        DamagedError: it is not the one that was written.
    """
    entry = fields["files"][file]
    data = read_file(path / file, int(entry["bytes"]))
    if len(data) != entry["bytes"]:
        raise DamagedError(f"{file} has {len(data):,} bytes where {entry['bytes']:,} were written")
    if hashlib.sha256(data).hexdigest() != entry["sha256"]:
        raise DamagedError(f"{file} differs from its SHA-256")
    return data


def verify(path: Path) -> dict[str, Any]:
    """Read and hash a whole checkpoint; its manifest.

    Raises:
        DamagedError: a file is not the one that was written.
    """
    fields = manifest(path)
    for file in fields["files"]:
        read(path, fields, file)
    return fields


def read_file(path: Path, limit: int) -> bytes:
    """A plain file of so many bytes at most.

    Raises:
        DamagedError: it is none, larger, or cannot be read.
    """
    try:
        found = path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise DamagedError(f"{path.name} is no plain file")
        if found.st_size > limit:
            raise DamagedError(f"{path.name} has {found.st_size:,} bytes where at most {limit:,} were written")
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DamagedError(f"{path.name} is missing") from error
    except OSError as error:
        raise DamagedError(f"{path.name} cannot be read ({error.strerror})") from error
    except MemoryError as error:
        raise DamagedError(f"{path.name} does not fit into memory") from error


@cache
def version() -> str:
    """tapered's."""
    from importlib import metadata  # noqa: PLC0415 - only where a checkpoint is written or refused

    return metadata.version("tapered")
