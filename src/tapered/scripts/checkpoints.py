"""A script's own checkpoints, by their names: which there are, and the newest set aside.

"{out}/checkpoint-{step}" ─► found ─► checkpoint-20, checkpoint-40 ─► set_aside ─► bad-checkpoint-40
"""

import re
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from tapered.scripts.errors import ScriptError

BAD = "bad-"


@dataclass(frozen=True)
class Checkpoint:
    """A file or folder that a script goes on from.

    Args:
        step: Updates made, as its name says; None where its name does not.
        path: Where it is.
    """

    step: int | None
    path: Path


def found(pattern: str, out: Path) -> list[Checkpoint]:
    """The checkpoints of a run, oldest first: by their steps, and by when they were written.

    Args:
        pattern: Their path: `{out}`, `{step}`, and `*` for what else may stand in a name.
        out: The run's own folder.

    Raises:
        ScriptError: The pattern is none.
    """
    relative = inside(pattern)
    glob = "/".join(re.sub(r"\[", "[[]", part).replace("{step}", "*") for part in relative)
    name = re.compile("/".join(_expression(part) for part in relative))
    there = []
    for path in out.glob(glob):
        match = name.fullmatch(path.relative_to(out).as_posix())
        if match and not any(part.startswith(BAD) for part in path.relative_to(out).parts):
            there.append(Checkpoint(int(match["step"]) if "step" in name.groupindex else None, path))
    return sorted(there, key=lambda one: (one.step or 0, one.path.lstat().st_mtime_ns))


def inside(pattern: str) -> tuple[str, ...]:
    """The parts of a pattern below `{out}`.

    Raises:
        ScriptError: It does not begin with {out}, leaves it, or has other placeholders.
    """
    parts = tuple(pattern.removeprefix("{out}/").split("/"))
    wrong = not pattern.startswith("{out}/") or any(part in ("", ".", "..") for part in parts)
    if wrong or re.search(r"[{}]", pattern.removeprefix("{out}/").replace("{step}", "", 1)):
        raise ScriptError(f'checkpoints={pattern!r:.200}; expected a path in {{out}}, as "{{out}}/checkpoint-{{step}}"')
    return parts


def set_aside(path: Path) -> Path:
    """Rename something, so that nothing goes on from it; it is kept."""
    names = (path.with_name(f"{BAD}{path.name}" + (f"-{n}" if n else "")) for n in count())
    free = next(name for name in names if not (name.exists() or name.is_symlink()))
    return path.rename(free)


def _expression(part: str) -> str:
    """A part of the pattern as a regular expression."""
    pieces = re.split(r"(\*|\{step\})", part)
    meant = {"*": "[^/]*", "{step}": r"(?P<step>\d+)"}
    return "".join(meant.get(piece, re.escape(piece)) for piece in pieces)
