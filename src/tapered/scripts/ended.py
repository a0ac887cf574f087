"""How a run of a script stands, and how it ended: words, and `result.json`, which is written whole and last.

what the script has said ─► judge(folder) ─► Seen        Seen, exit code, silence ─► supervise ─► Ended ─► result.json
"""

from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal, Self, get_args

from tapered.files import whole
from tapered.files.sealed import UnsealedError, sealed, unsealed
from tapered.scripts.errors import ScriptError

Word = Literal["finished", "diverged", "crashed", "hung", "refused", "stopped"]
RESULT, SCHEMA = "result.json", 1
LINES = 20  # of what a script said last, that are shown
LIMIT = 1 << 20  # bytes of a result: what is longer was not written here


@dataclass(frozen=True)
class Seen:
    """What a run's folder says, as a judge reads it; it may be read while the script runs.

    Args:
        step: Updates made by the last report; None before the first.
        told: Reports in all, those told twice counted twice.
        updates: Updates that the witness has written down; 0 where it saw none.
        diverged: The first step at which something reported is not finite, else None.
        wrong: Why the run is refused whatever comes, as for a rate that was not asked; "" where nothing is.
        lacking: Why it would be refused if it were to end now; "" where nothing is lacking.
    """

    step: int | None = None
    told: int = 0
    updates: int = 0
    diverged: int | None = None
    wrong: str = ""
    lacking: str = ""

    @property
    def furthest(self) -> int:
        """Updates that it has certainly made."""
        return max(self.step or 0, self.updates)


@dataclass(frozen=True)
class Ended:
    """The end of a run of a script.

    Args:
        word: "finished": it made its steps and reported the last. "diverged": something it reported is not finite, a
            result as well. "crashed" and "hung": it was started as often as it may be, and the same command tries it
            again. "refused": it did something else than it was asked. "stopped": it was asked to end before its last
            step, at a rung or because the study ends, and goes on later.
        step: Updates made by its last report; where it diverged, the first one that is not finite.
        starts: How often it has been started, in all.
        why: How it came to that, as a sentence without its subject: "ended at 80 of 120".
        lines: What it wrote last.
        notes: What was done beside: a checkpoint set aside, a child ended, output left out.
        seconds: How long it ran, in this call.
    """

    word: Word
    step: int
    starts: int
    why: str = ""
    lines: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def result(self) -> bool:
        """Whether it is never started again."""
        return self.word in ("finished", "diverged")

    def write(self, folder: Path) -> None:
        """Keep it as the folder's `result.json`, whole.

        Raises:
            OSError: The disk does not take it.
        """
        whole.replace(folder / RESULT, sealed({"schema": SCHEMA, **asdict(self)}, indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What `write` kept; None where there is nothing yet.

        Raises:
            ScriptError: What stands there is not what was written.
        """
        path = folder / RESULT
        if not path.exists() and not path.is_symlink():
            return None
        try:
            own = whole.plain(path) and path.stat().st_size <= LIMIT
            return cls._checked(unsealed(path.read_text() if own else ""))
        except (UnsealedError, UnicodeDecodeError) as error:
            raise ScriptError(f"{path} was damaged ({error}); delete it, and the run goes on from its folder") from None

    @classmethod
    def _checked(cls, found: dict[str, Any]) -> Self:
        if found.pop("schema", None) != SCHEMA or found.keys() != {field.name for field in fields(cls)}:
            raise UnsealedError("it is of another version of tapered")
        counts = all(type(found[name]) is int and found[name] >= 0 for name in ("step", "starts"))
        said = all(isinstance(found[n], list) and all(isinstance(s, str) for s in found[n]) for n in ("lines", "notes"))
        if found["word"] not in get_args(Word) or not counts or not said or not isinstance(found["why"], str):
            raise UnsealedError("its fields are of other types")
        return cls(**found | {name: tuple(found[name]) for name in ("lines", "notes")})
