"""A study's `[script]` table: somebody's own training script as what is studied, in the place of a workload.

    [script]
    command = "python train.py --lr {peak} --seed {seed} --max-steps {steps} --out {out}"
    metrics = "csv:{out}/log.csv"
    rate = "see"                 see: refuse what differs; set: write it; off: nobody looks

command, files ─► Scripted: a subject, as a Workload is one: its name, its metrics, what its numbers depend on
"""

import ast
import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, Field, model_validator

from tapered.scripts.checkpoints import inside
from tapered.scripts.command import NEVER, SAME_OUT, Template, apart
from tapered.scripts.metrics import reader
from tapered.study.file.fields import Finite, Strict, Whole
from tapered.workloads.own import StudyFileError

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([smhd])")
PLAIN = re.compile(r"[\w@%+=:,./{}-]+")
ASKS = """import json, sys
from importlib import metadata
found = {"python": sys.version.split()[0]}
known = metadata.packages_distributions() if sys.argv[1:] else {}
for name in sys.argv[1:]:
    for package in known.get(name, ())[:1]:
        found[package] = metadata.version(package)
print(json.dumps(found))
"""


def _seconds(value: Any) -> Any:
    """A time as a person writes it, in seconds.

    >>> _seconds("10m"), _seconds("1.5h"), _seconds(30)
    (600.0, 5400.0, 30.0)
    """
    if isinstance(value, str) and (found := DURATION.fullmatch(value.strip())):
        value = float(found[1]) * UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f'got {value!r}; expected a time, as "90s", "10m", "2h" or "3d"')
    return float(value)


Time = Annotated[Finite, BeforeValidator(_seconds)]


def _words(value: Any) -> Any:
    """Words as they are, or as a shell would part them; what only a shell would understand is refused."""
    if isinstance(value, str):
        return tuple(apart(value, "it"))
    return tuple(value) if isinstance(value, list) else value


Words = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_words)]


class Script(Strict):
    """A script that trains, one start a run.

    ``command`` starts it, as words or a list of them, without a shell; ``{peak}``, ``{lr}``, ``{rates}``,
    ``{schedule}``, ``{seed}``, ``{steps}``, ``{until}``, ``{out}``, ``{resume}``, ``{run}`` and ``{checkpoint}`` stand
    for what a run is asked. ``rate`` says what is done about the rate: "see" what is applied and refuse another than
    is asked, "set" it before every update, or "off", where no torch optimizer applies it. ``optimizer`` is whose rate
    that is, where the script has several: its place in the order of first steps, or its class.

    ``metrics`` is where its numbers are: "jsonl" (`run.log`), "csv:PATH", "tensorboard:DIR", "trainer_state" or
    "regex:PATTERN" over what it prints; ``step`` which column counts its updates, where that has no usual name, and
    what it counts from: "iter+1". ``resume`` says how it is started again: "none"; "same-out", where it finds its own
    checkpoints in ``{out}``; or words such as "--resume {checkpoint}". ``checkpoints`` is where it saves,
    "{out}/checkpoint-{step}", without which no steps are shared.

    ``files`` are further files that its numbers depend on. ``startup`` and ``silence`` are how long it may say nothing
    before and after its first report, ``timeout`` how long a run may take, ``grace`` what it has to save when it is
    asked to end, ``retries`` how often it is started again. ``processes`` are torchrun's, ``gpus`` how many of them a
    run has. ``check`` is how many updates `--check` trains.
    """

    command: Annotated[Words, MinLen(1)]
    rate: Literal["see", "set", "off"] = "see"
    optimizer: Annotated[Whole, Ge(0)] | str | None = None
    metrics: Annotated[str, MinLen(1)] = "jsonl"
    step: Annotated[str, MinLen(1)] | None = None
    resume: Annotated[str, MinLen(1)] = "none"
    checkpoints: Annotated[str, MinLen(1)] | None = None
    files: Annotated[tuple[str, ...], Field(strict=False)] = ()
    startup: Time = 600.0
    silence: Time = 600.0
    timeout: Time | None = None
    grace: Time = 30.0
    retries: Annotated[Whole, Ge(0), Le(100)] = 2
    gpus: Annotated[Whole, Ge(0), Le(1024)] = 0
    processes: Annotated[Whole, Ge(1), Le(1024)] = 1
    check: Annotated[Whole, Ge(4), Le(1_000_000)] = 20

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        reader(self.metrics, self.step)
        if self.checkpoints is not None:
            inside(self.checkpoints)
            if not self.goes_on:
                raise ValueError(
                    f"checkpoints={self.checkpoints!r} are of no use to a script that does not go on from them; try "
                    f'resume = "same-out", or leave them out'
                )
        if "checkpoint" in self.going_on.names() and self.checkpoints is None:
            raise ValueError(
                f"resume={self.resume!r} needs to know where checkpoints are; try checkpoints = "
                f'"{{out}}/checkpoint-{{step}}"'
            )
        return self

    def template(self, args: Sequence[str], arms: Collection[str]) -> Template:
        """The command with an arm's words behind it.

        Args:
            args: The arm's.
            arms: The names of all arms, which `{if:NAME}` may ask for.

        Raises:
            ScriptError: A placeholder is unknown.
        """
        return Template.read(self.command, "script.command", arms) + Template.read(args, "args", arms)

    @property
    def going_on(self) -> Template:
        """The words with which it goes on; none where it needs none."""
        return Template.read([] if self.resume in (NEVER, SAME_OUT) else self.resume, "script.resume")

    @property
    def said(self) -> str:
        """The command as a person would write it."""
        return " ".join(word if PLAIN.fullmatch(word) else shlex.quote(word) for word in self.command)

    @property
    def named(self) -> bool:
        """Whether its checkpoints have their steps in their names."""
        return self.checkpoints is not None and "{step}" in self.checkpoints

    @property
    def halts(self) -> bool:
        """Whether it can be told to end before its last step."""
        return any("{until}" in word for word in self.command)

    @property
    def goes_on(self) -> bool:
        """Whether it is said to go on from what it saved."""
        return self.resume != NEVER


# what of the table no number depends on
UNBOUND = {
    "startup", "silence", "timeout", "grace", "retries", "gpus", "files", "resume", "checkpoints", "check",
}  # fmt: skip


@dataclass(frozen=True)
class Scripted:
    """A script as what is studied.

    Args:
        script: Its table.
        folder: Where it is started, and paths start.
        metric: The study's metric, which it is to tell.
    """

    script: Script
    folder: Path
    metric: str

    @property
    def name(self) -> str:
        """The script's name, as verdicts say it."""
        named = (Path(word).name for word in self.script.command if word.endswith(".py"))
        return next(named, self._module or self.script.command[0])

    @property
    def _module(self) -> str | None:
        """The module that is started in the place of a file, by python -m."""
        words = self.script.command
        return next((words[i + 1] for i, word in enumerate(words[:-1]) if word == "-m"), None)

    @property
    def names(self) -> tuple[str, ...]:
        """Its metrics, as far as they are known before it runs."""
        return tuple(dict.fromkeys(("loss", self.metric)))

    @cached_property
    def code(self) -> Mapping[str, Path]:
        """The files that its numbers are known to depend on, by the names that a person knows them by.

        Raises:
            StudyFileError: one of ``files`` is not there.
        """
        found: dict[str, Path] = {}
        for word in self.script.command:
            if word.endswith(".py") and (self.folder / word).is_file():
                found |= dict(_beside(word, self.folder / word))
        if self._module is not None:
            top = self._module.split(".")[0]
            inside_it = [self.folder / f"{top}.py", *sorted((self.folder / top).rglob("*.py"))]
            found |= {str(path.relative_to(self.folder)): path for path in inside_it if path.is_file()}
        for pattern in self.script.files:
            named = [self.folder / pattern] if Path(pattern).is_absolute() else sorted(self.folder.glob(pattern))
            files = [path for path in named if path.is_file()]
            if not files:
                raise StudyFileError(
                    f"script.files has {pattern!r}, and there is no such file in {self.folder or Path()}"
                )
            found |= {
                str(path.relative_to(self.folder)) if not Path(pattern).is_absolute() else pattern: path
                for path in files
            }
        return found

    def fingerprints(self) -> dict[str, str]:
        """What its numbers depend on, name -> text."""
        table = self.script.model_dump(mode="json", exclude=UNBOUND, exclude_none=True)
        facts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in table.items()}
        facts["command"] = self.script.said
        return facts | {"versions": ", ".join(f"{name} {version}" for name, version in self.versions.items())}

    @cached_property
    def versions(self) -> Mapping[str, str]:
        """Of Python and of the packages that it imports, as its own interpreter has them."""
        names = sorted({name for path in self.code.values() for name in _imports(path)} - sys.stdlib_module_names)
        python = interpreter(self.script.command)
        if python is None:
            return {}
        asked = [python, "-c", ASKS, *names]
        try:
            said = subprocess.run(  # noqa: S603 - the interpreter that is to run the script
                asked, capture_output=True, text=True, timeout=60, check=True, cwd=self.folder or None
            )
            found: dict[str, str] = json.loads(said.stdout.splitlines()[-1])
        except (OSError, subprocess.SubprocessError, ValueError, IndexError):
            return {}
        return found


def interpreter(command: Sequence[str]) -> str | None:
    """The Python that a command starts, as far as it is seen: in its first word, or beside that program."""
    if command[0] == "{python}":
        return sys.executable
    first = shutil.which(command[0])
    if first is None or re.fullmatch(r"python[\d.]*", Path(first).name):
        return first
    return shutil.which("python", path=str(Path(first).parent))


def _imports(path: Path) -> Iterator[str]:
    """The names of the packages that a file imports, wherever in it."""
    try:
        tree = ast.parse(path.read_bytes())
    except (SyntaxError, ValueError, RecursionError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def _beside(name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """A file, and what lies beside it and is imported from there."""
    waiting, known = [path], dict[Path, str]()
    while waiting:
        file = waiting.pop()
        if file not in known:
            known[file] = str(Path(name).parent / file.relative_to(path.parent))
            for module in set(_imports(file)) - sys.stdlib_module_names:
                waiting += [other for other in (path.parent / f"{module}.py",) if other.is_file()]
                waiting += sorted((path.parent / module).rglob("*.py"))
    yield from ((said, file) for file, said in sorted(known.items()))
