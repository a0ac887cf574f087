"""The witness put in front of what a command starts with Python, whatever starts that.

uv run python -u train.py ... ─► uv run python -u -m tapered.scripts.witness see train.py ...

torchrun's, accelerate's and deepspeed's workers each have their own. What is no Python is started as it is, and why
is said.
"""

import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

WITNESS = "tapered.scripts.witness"
PYTHON = re.compile(r"python[0-9.]*t?")
LAUNCHERS = {"torchrun", "deepspeed", "accelerate-launch", "accelerate"}  # the last with "launch"
LAUNCHING = {"torch.distributed.run", "torch.distributed.launch", "accelerate.commands.launch"}  # as modules
# programs that start what stands behind their own options
STARTERS = {
    "chrt", "conda", "env", "hatch", "ionice", "mamba", "micromamba", "mpiexec", "mpirun", "nice", "nohup",
    "numactl", "pdm", "pipenv", "pixi", "poetry", "rye", "setsid", "srun", "stdbuf", "taskset", "time", "timeout",
    "uv", "xvfb-run",
}  # fmt: skip
MEETING = re.compile(r"--?(rdzv|master|node|standalone)|--nnodes")  # options of torchrun by which processes meet
PORT = "--main_process_port"  # accelerate's


@dataclass(frozen=True)
class Witnessed:
    """Words that are started, and why a rate cannot be seen in what they start; "" where it can."""

    words: tuple[str, ...]
    why: str = ""


def witnessed(words: Sequence[str], rate: str, processes: int = 1, folder: Path | None = None) -> Witnessed:
    """The words of a command with the witness in front of its script.

    Args:
        words: As they are, filled.
        rate: "see", "set", or "off" for no witness.
        processes: So many by torchrun, where the command itself starts one.
        folder: Where it is started, if not here.
    """
    found = _Words(list(words), [] if rate == "off" else [WITNESS, rate], processes, folder or Path.cwd())
    started, why = found.behind(0)
    return Witnessed(tuple(started), 'rate = "off"' if rate == "off" else why)


@dataclass
class _Words:
    words: list[str]
    witness: list[str]  # module and mode; empty without one
    processes: int
    folder: Path

    def behind(self, at: int) -> tuple[list[str], str]:
        """All words, where a program stands at a place."""
        word = self.words[at]
        name = PurePath(word).name
        if PYTHON.fullmatch(name):
            return self._python(at)
        if name in LAUNCHERS:
            launch = name != "accelerate" or self.words[at + 1 : at + 2] == ["launch"]
            return (
                self._launcher(at + 1, name) if launch else self._not("`accelerate` starts no script without `launch`")
            )
        if name in STARTERS:
            return self._starter(at, name)
        by = shebang(word, self.folder)
        if by is None:
            return self._not(f"`{word}` is not Python, and nothing of it can be seen from outside")
        self.words[at : at + 1] = by
        return self.behind(at)

    def _not(self, why: str) -> tuple[list[str], str]:
        return self.words, why

    def _starter(self, at: int, name: str) -> tuple[list[str], str]:
        for i in range(at + 1, len(self.words)):
            inner = PurePath(self.words[i]).name
            if PYTHON.fullmatch(inner) or inner in LAUNCHERS:
                return self.behind(i)
            if inner.endswith(".py") or (name == "uv" and self.words[i] in ("-m", "--module")):
                if name == "uv":  # it runs files and modules itself
                    self.words.insert(i, "python")
                    return self.behind(i)
                return (
                    self.behind(i) if shebang(self.words[i], self.folder) else self._not(f"`{name}` starts no Python")
                )
        return self._not(f"`{name}` starts no Python that could be told")

    def _python(self, at: int) -> tuple[list[str], str]:
        """Behind an interpreter: its options, then a script, or a module."""
        i = at + 1
        while i < len(self.words) and self.words[i].startswith("-") and self.words[i] != "-":
            word = self.words[i]
            letters = "" if word.startswith("--") else word[1:]
            taking = next((letter for letter in letters if letter in "cmWX"), "")
            rest = letters.partition(taking)[2] if taking else ""
            if taking == "c":
                return self._not("`python -c` has no script")
            if taking == "m":
                return self._module(i, letters.partition("m")[0], rest)
            i += 2 if (taking and not rest) or word == "--check-hash-based-pycs" else 1
        if i >= len(self.words) or self.words[i] == "-":
            return self._not("`python` has no script here")
        name = PurePath(self.words[i]).name
        if name in LAUNCHERS:  # the file itself
            return self.behind(i)
        return self._among(i, i)

    def _module(self, at: int, before: str, module: str) -> tuple[list[str], str]:
        rest = [module] if module else []
        options = [f"-{before}"] if before else []
        self.words[at : at + 1] = [*options, "-m", *rest]
        at += len(options)
        if at + 1 >= len(self.words):
            return self._not("`python -m` names no module")
        module = self.words[at + 1]
        if module in LAUNCHING:
            return self._launcher(at + 2, module)
        if module == "accelerate.commands.accelerate_cli" and self.words[at + 2 : at + 3] == ["launch"]:
            return self._launcher(at + 3, module)
        return self._among(at, at)

    def _among(self, at: int, start: int) -> tuple[list[str], str]:
        """A script, or -m and a module, begins at a place behind an interpreter."""
        launched = ["-m", *self.witness] if self.witness else []
        if self.processes > 1:
            meeting = ["--standalone", "--nproc-per-node", str(self.processes)]
            module = ["--module", *self.witness] if self.witness else []
            launched = ["-m", "torch.distributed.run", *meeting, *module]
        return [*self.words[:at], *launched, *self.words[start:]], ""

    def _launcher(self, at: int, name: str) -> tuple[list[str], str]:
        """Behind a launcher: its options, then a script, or --module and a module."""
        for i in range(at, len(self.words)):
            word = self.words[i]
            if word in ("--no-python", "--no_python"):
                return self._starter(i, name)
            module = word in ("-m", "--module")
            if module or word.endswith(".py"):
                own = self._meeting(at, i, name)
                launched = ["--module", *self.witness, *(["-m"] if module else [])] if self.witness else []
                return [*self.words[:i], *own, *launched, *self.words[i + (module and bool(launched)) :]], ""
        return self._not(f"which word of `{name}` is its script cannot be told; it should end in .py")

    def _meeting(self, at: int, end: int, name: str) -> list[str]:
        """Options by which several launchers of one machine do not meet each other, where nothing is said."""
        said = self.words[at:end]
        if "accelerate" in name:
            return [] if any(word.startswith(PORT) for word in said) else [PORT, "0"]
        if name == "deepspeed" or any(MEETING.match(word) for word in said):
            return []
        return ["--standalone"]


def shebang(word: str, folder: Path) -> list[str] | None:
    """How Python would be started with a file that is a program by its first line; None where it is another program."""
    path = shutil.which(word) if "/" not in word else str(folder / word)
    try:
        with Path(path or word).open("rb") as file:
            first = file.readline(512)
        by = shlex.split(first.removeprefix(b"#!").decode()) if first.startswith(b"#!") else []
    except (OSError, UnicodeDecodeError, ValueError):
        return None
    if by and PurePath(by[0]).name == "env":
        by = [word for word in by[1:] if word not in ("-S", "--split-string")]
    if not by or not PYTHON.fullmatch(PurePath(by[0]).name):
        return None
    return [*by, path or word]


def program(words: Sequence[str], folder: Path) -> str | None:
    """What is wrong with a command's first word; None where it can be started."""
    word = words[0]
    if shutil.which(word if "/" not in word else str(folder / word)):
        return None
    if PYTHON.fullmatch(word):
        return f"there is no program `{word}` on PATH; try {{python}}, which is {sys.executable}"
    if "/" in word and (folder / word).is_file():
        return f"`{word}` may not be executed; try chmod +x, or python in front of it"
    return f"there is no program `{word}` here; try its whole path"
