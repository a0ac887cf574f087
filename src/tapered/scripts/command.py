"""A script's command as a template, and the words with which one run of it is started; no shell reads them.

"python train.py --lr {peak}" ─► Template ─┐
                   Asked, rates ─► values ─┴─► Command ─► words ─► launch: the witness in front of them

Each placeholder is one word, or a part of one, whatever stands in it. `{{` and `}}` are braces.
"""

import re
import shlex
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

from tapered.scripts.errors import ScriptError
from tapered.scripts.launch import program, witnessed
from tapered.words import suggest

Rate = Literal["see", "set", "off"]
NAMES = (
    "peak", "lr", "rates", "schedule", "seed", "steps", "until", "out", "run", "resume", "checkpoint", "arm", "python",
)  # fmt: skip
PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
SHELL = {"&&", "||", "|", "|&", ";", "&", "<", "<<", ">", ">>", "2>", "2>&1", "&>"}
SAME_OUT, NEVER = "same-out", "none"  # how a script goes on, beside words of its own


class Asking(Protocol):
    """What of `Asked` goes into a command."""

    @property
    def arm(self) -> str:
        """The arm's name."""

    @property
    def seed(self) -> int:
        """The run's seed."""

    @property
    def peak(self) -> float | None:
        """What the arm's rate is multiplied by."""

    @property
    def steps(self) -> int:
        """Updates that it is to make."""

    @property
    def until(self) -> int:
        """Where it may end for now."""


def values(
    folder: Path, asked: Asking, rates: Sequence[float], schedule: str, flags: Collection[str] = ()
) -> dict[str, Any]:
    """What the placeholders of a run's command stand for.

    Args:
        folder: The run's folder.
        asked: What it is asked.
        rates: The rate of each update; `{lr}` is the largest, which a script's own scheduler would be given.
        schedule: The rates as text.
        flags: Further names that are on, for `{if:NAME}`.
    """
    run = folder.absolute()
    return {
        "arm": asked.arm, "peak": asked.peak, "lr": float(max(rates)), "rates": run / "rates.f64", "schedule": schedule,
        "seed": asked.seed, "steps": asked.steps, "until": asked.until, "out": run / "out", "run": run,
    } | dict.fromkeys(flags, True)  # fmt: skip


@dataclass(frozen=True)
class _Word:
    """One word of a template: what is asked before it is there at all, and its parts, (is a placeholder, text)."""

    needs: tuple[str, ...]
    parts: tuple[tuple[bool, str], ...]

    def names(self) -> Iterator[str]:
        yield from (text for placed, text in self.parts if placed)


@dataclass(frozen=True)
class Template:
    """The words of a command, with placeholders.

    >>> words = Template.read("python train.py --lr {peak} {if:resume}--resume")
    >>> words.filled({"peak": 1e-3})
    ['python', 'train.py', '--lr', '0.001']
    """

    words: tuple[_Word, ...]

    @classmethod
    def read(cls, given: str | Sequence[str], field: str = "command", flags: Collection[str] = ()) -> Self:
        """A command as it is written: words as a shell would take them apart, or a list of them.

        Args:
            given: The command.
            field: How the file calls it, for messages.
            flags: Names beside the placeholders' that `{if:NAME}` may ask for.

        Raises:
            ScriptError: It is empty, has an unknown placeholder or a brace too many, or asks for a shell.
        """
        words = apart(given, field) if isinstance(given, str) else list(given)
        if not all(isinstance(word, str) and "\0" not in word for word in words):
            raise ScriptError(f"{field}={given!r:.200} is no list of words; each is a text without a zero byte")
        return cls(tuple(_read(word, field, flags) for word in words))

    def __add__(self, other: "Template") -> "Template":
        return Template(self.words + other.words)

    def names(self) -> set[str]:
        """The placeholders that it has."""
        return {name for word in self.words for name in word.names()}

    def filled(self, given: Mapping[str, Any], resume: Sequence[str] = ()) -> list[str]:
        """The words of one run.

        Args:
            given: What placeholders stand for.
            resume: The words in the place of `{resume}`.

        Raises:
            ScriptError: A placeholder stands for nothing in this run.
        """
        found: list[str] = []
        for word in self.words:
            if not all(_on(given.get(need)) for need in word.needs):
                continue
            if word.parts == ((True, "resume"),):
                found += resume
            else:
                found.append("".join(_said(text, given) if placed else text for placed, text in word.parts))
        return found


def apart(text: str, field: str) -> list[str]:
    """The words of a text, as a shell would take them apart.

    Raises:
        ScriptError: A quote is not closed, or only a shell would understand it.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ScriptError(f"{field}={text!r:.200} has a quote that is not closed ({error})") from None
    for word in words:
        if word in SHELL or re.search(r"\$[\w({]|`", word) or word.startswith("~/"):
            raise ScriptError(
                f"{field} has {word!r:.80}, which only a shell would understand, and none is started; put it into a "
                f"script of its own, or give a list of words, which are taken as they are"
            )
    if words and re.match(r"\w+=", words[0]):
        raise ScriptError(f"{field} begins with {words[0]!r:.80}; try env {words[0]:.80} in front of the program")
    return words


def _read(word: str, field: str, flags: Collection[str]) -> _Word:
    needs, parts = [], []
    for part in PART.finditer(word):
        text, name = part.group(), part.group(1)
        if name is None and text in "{}":
            raise ScriptError(f"{field} has a single {text} in {word!r:.80}; write {text}{text} for one that is meant")
        if name is None:
            parts.append((False, text[0] if text in ("{{", "}}") else text))
        elif name.startswith("if:"):
            if parts:
                raise ScriptError(f"{field} has {text} within {word!r:.80}; it decides on a word, and begins it")
            needs.append(_known(name.removeprefix("if:"), [*NAMES, *flags], field, text))
        else:
            parts.append((True, _known(name, NAMES, field, text)))
    if needs and not parts:
        raise ScriptError(f"{field} has {word!r:.80} alone; write the word behind it, as in {word:.80}--flag")
    names = [name for placed, name in parts if placed]
    if "resume" in names and len(parts) > 1:
        raise ScriptError(
            f"{field} has {{resume}} within {word!r:.80}; it stands for words of its own, so let it stand alone"
        )
    return _Word(tuple(needs), tuple(parts))


def _known(name: str, known: Collection[str], field: str, text: str) -> str:
    if name not in known:
        raise ScriptError(
            f"{field} has the unknown placeholder {text:.80}; {suggest(name, known)}; for braces write {{{{ and }}}}"
        )
    return name


def _on(value: object) -> bool:
    return value is not None and value is not False


def _said(name: str, given: Mapping[str, Any]) -> str:
    value = given.get(name)
    if value is None:
        raise ScriptError(
            f"{{{name}}} stands for nothing here ({_lacking(name)}); write {{if:{name}}} in front of its word"
        )
    return repr(value) if isinstance(value, float) else str(value)


def _lacking(name: str) -> str:
    return "this arm's rate stands as written" if name == "peak" else "a first start has none"


@dataclass(frozen=True)
class Command:
    """How one run of a script is started.

    Args:
        template: Its words.
        values: What they stand for, as `values` says.
        rate: "see" and "set" put the witness in front of the script; "off" does not.
        resume: How it goes on where it was started before: "same-out" by the same words, words of its own (in the
            place of `{resume}`, else at the end), or "none": from the beginning, with a new `{out}`.
        checkpoints: Where its checkpoints are: "{out}/checkpoint-{step}"; None where nobody needs to know.
        processes: How many it has, by torchrun, where its own words say nothing of it.
        folder: Where it is started, if not here.
    """

    template: Template
    values: Mapping[str, Any]
    rate: Rate = "see"
    resume: str | Template = SAME_OUT
    checkpoints: str | None = None
    processes: int = 1
    folder: Path | None = None

    def words(self, checkpoint: Path | None = None, *, again: bool = False) -> list[str]:
        """The words of the next start.

        Args:
            checkpoint: The newest one that there is.
            again: Whether it has been started before, or was given a checkpoint.

        Raises:
            ScriptError: A placeholder stands for nothing, or there is no such program.
        """
        going_on = self.resume != NEVER and (again or checkpoint is not None)
        given = {"python": sys.executable, **self.values, "resume": going_on or None, "checkpoint": checkpoint}
        words = self.template.filled(given, self._resume(given))
        if "resume" not in self.template.names():
            words += self._resume(given)
        if not words:
            raise ScriptError("command has no words; expected a program and its arguments")
        if wrong := program(words, self.folder or Path.cwd()):
            raise ScriptError(f"command={shlex.join(words)!r:.200}: {wrong}")
        return list(witnessed(words, self.rate, self.processes, self.folder).words)

    def unseen(self) -> str:
        """Why the rate cannot be seen in what this starts; "" where it can."""
        given = {"python": sys.executable, "resume": None, "checkpoint": None, **self.values}
        return witnessed(self.template.filled(given), self.rate, self.processes, self.folder).why

    def _resume(self, given: Mapping[str, Any]) -> list[str]:
        if isinstance(self.resume, str) or not given["resume"]:
            return []
        if "checkpoint" in self.resume.names() and given["checkpoint"] is None:
            return []
        return self.resume.filled(given)
