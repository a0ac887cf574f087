"""Forged folders of runs and studies: what a stranger could send. Each is made of files, under names told to a victim."""

# ruff: noqa: E501  # texts of forged files, in one line each
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tapered import checkpoint
from tapered.checkpoint import files
from tapered.rules import Adam
from tapered.run import setting as settings
from tapered.run import single
from tapered.training.rows import start
from tapered.training.workload import quadratic

HUGE = 2**53
EVIL = "from pathlib import Path\nPath('pwned').touch()\nfrom tapered.training.workload import quadratic as made\ndef problem(**o):\n    return made()\n"


def setting(**changed: Any) -> dict[str, Any]:
    """A sound setting, but for what is changed."""
    sound = {"workload": "quadratic", "rule": "Adam", "lr": "constant(0.001)", "seed": 0, "steps": 10}
    return {**sound, "source": "built in", "options": {}, "code": {}, "data": settings.data_of(quadratic()), **changed}


def run(folder: Path, *, state: Callable[[dict[str, Any]], Any] = dict, **changed: Any) -> Path:
    """The folder of a run at step 1 whose hashes are all right; its checkpoint."""
    made = single.Single(settings.Setting(**setting()))
    made.rows = start(quadratic(), Adam(), [0])
    made.train(1)
    tree = state(made.state_dict())

    class Forged:
        def state_dict(self) -> Any:
            return tree

    path = checkpoint.save(folder, 1, generators=False, run=Forged(), setting=setting(**changed))
    checkpoint.release(folder)
    return path


def own(folder: Path, text: str, *, code: str = EVIL, at: Path | None = None, **changed: Any) -> None:
    """A run whose workload is a stranger's file, with the hash that fits."""
    if at is not None:
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(code)
    source = hashlib.sha256(Path(text.rpartition(":")[0]).read_bytes()).hexdigest()
    run(folder, workload=text, source=source, **changed)


def again(path: Path, change: Callable[[dict[str, Any]], None], **replaced: bytes) -> None:
    """A checkpoint whose manifest is changed and fits again, files replaced by others with their own hashes."""
    fields = json.loads((path / files.MANIFEST).read_text())
    fields.pop("digest")
    for name, data in replaced.items():
        file = {"state": files.STATE, "tensors": "tensors-0.safetensors"}[name]
        (path / file).unlink()
        (path / file).write_bytes(data)
        fields["files"][file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    change(fields)
    (path / files.MANIFEST).write_bytes(files.manifest_text(fields))


def header(length: int, text: bytes = b"{}") -> bytes:
    """A safetensors file that gives its header's length so."""
    return length.to_bytes(8, "little") + text


def _same(_: dict[str, Any]) -> None:
    """No change."""


def _linked(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        run(folder)
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(Path("precious.txt").resolve())

    return make


def _piped(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        path = run(folder)
        at = (path if name.endswith("n") else folder) / name
        at.unlink(missing_ok=True)
        os.mkfifo(at)

    return make


def _folder_linked(name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        run(folder)
        (folder / name).symlink_to(Path("models").resolve())

    return make


def _hard(folder: Path) -> None:
    run(folder)
    for name in ("owner", "lock"):
        (folder / name).unlink(missing_ok=True)
        os.link("precious.txt", folder / name)


def _shadowed(folder: Path) -> None:
    """A compiled file beside a sound one, which Python would prefer."""
    own(folder, "beside/mine.py:problem", at=Path("beside/mine.py"))


def _sparse(size: int, name: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        with (run(folder) / name).open("r+b") as file:
            file.truncate(size)

    return make


def _tree(text: str) -> Callable[[Path], None]:
    return lambda folder: again(run(folder), _same, state=text.encode())


def _lr(text: str) -> Callable[[Path], None]:
    return lambda folder: run(folder, lr=text) and None


def _set(**changed: Any) -> Callable[[Path], None]:
    return lambda folder: run(folder, **changed) and None


def _tensors(data: bytes) -> Callable[[Path], None]:
    return lambda folder: again(run(folder), _same, tensors=data)


def _field(**changed: Any) -> Callable[[Path], None]:
    return lambda folder: again(run(folder), lambda fields: fields.update(changed))


def _listing(name: str) -> Callable[[Path], None]:
    entry = {"bytes": 1, "sha256": "0"}
    return lambda folder: again(run(folder), lambda fields: fields["files"].update({name: entry}))


def _state(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    return lambda folder: run(folder, state=change) and None


STDLIB = str(Path(os.__file__).parent / "subprocess.py")
SHELL = {"args": "touch pwned", "shell": True}
RUNS: dict[str, Callable[[Path], None]] = {
    # code
    "a file of Python's own": lambda folder: own(folder, f"{STDLIB}:run", options=SHELL),
    "an imported name": lambda folder: own(folder, f"{STDLIB}:os", options={}),
    "a file inside the folder": lambda folder: own(folder, f"{folder}/evil.py:problem", at=folder / "evil.py"),
    "a file beside the folder": lambda folder: own(folder, "evil.py:problem", at=Path("evil.py")),
    "a file above": lambda folder: own(folder, "../evil.py:problem", at=Path("../evil.py")),
    "a file by its full path": lambda f: own(f, f"{Path('evil.py').resolve()}:problem", at=Path("evil.py")),
    "a file with arguments": lambda f: own(f, "evil.py:problem", at=Path("evil.py"), options={"x": 1}),
    "a file in a folder beside": _shadowed,
    "a file that is called built in": lambda folder: run(folder, workload="evil.py:problem") and None,
    "a library": _set(workload="/usr/lib/libc.so:system", source="0" * 64),
    "a device as a file": _set(workload="/dev/zero:x", source="0" * 64),
    "a built-in that opens files": _set(workload="fashion_mnist", options={"folder": "/dev"}),
    "a built-in as large as memory": _set(workload="bmi", options={"samples": 10**12}),
    "a module's name": _set(workload="os:system", source="0" * 64),
    "no file": _set(workload=":", source="0" * 64),
    # links
    "owner is a link": _linked("owner"),
    "lock is a link": _linked("lock"),
    "owner and lock are hard links": _hard,
    "an old checkpoint is a link": _folder_linked("000000-step0"),
    "a temporary folder is a link": _folder_linked(".tmp-000009-step9"),
    "a leaving folder is a link": _folder_linked(".old-000009-step9"),
    "lock is a pipe": _piped("lock"),
    "owner is a pipe": _piped("owner"),
    "the manifest is a pipe": _piped("manifest.json"),
    # bombs
    "a repeat without end": _lr(f"hold(1).repeat({HUGE})"),
    "restarts hardly longer": _lr("cosine_decay_restarts(0.1, first_decay_steps=1, t_mul=1.0000000000000002)"),
    "cycles far shorter than a step": _lr("cyclic(0.1, up=1e-300)"),
    "a long name": _lr("a" * 1_000_000 + "(1)"),
    "many brackets": _lr("(" * 10_000 + "1" + ")" * 10_000),
    "a long chain": _lr("hold(1)" + ".then(hold(1))" * 20_000),
    "a long number": _lr("9" * 100_000),
    "a long number with a letter": _lr("1" * 100_000 + "x"),
    "steps without end": _set(steps=HUGE),
    "a header of 2**63 bytes": _tensors(header(2**63)),
    "a header of 2**63 - 1 bytes": _tensors(header(2**63 - 1)),
    "a huge shape": _tensors(header(63, b'{"x":{"dtype":"F32","shape":[9007199254740992,9007199254740992],"data_offsets":[0,4]}}'[:63])),
    "deep JSON": _tree("[" * 100_000),
    "deep objects": _tree('{"a":' * 100_000 + "1" + "}" * 100_000),
    "a gigabyte of nothing": _sparse(1 << 30, files.STATE),
    "a terabyte of nothing": _sparse(1 << 40, files.STATE),
    "a manifest of a gigabyte": _sparse(1 << 30, files.MANIFEST),
    # escapes
    "a file elsewhere": _listing("../../precious.txt"),
    "a file by its path": _listing("/etc/passwd"),
    "an escape in the workload": _set(workload="\x1b]0;owned\x07\x1b[31m"),
    "an escape in the rate": _lr("\x1b[2Jhold(1)"),
    "an escape in the run's name": _set(rule="\x1b[31mAdam\u202e"),
    "markup in the rule": _set(rule="[red]Adam[/red]"),
    # wrong types, with right hashes
    "steps as text": _set(steps="10"),
    "steps as truth": _set(steps=True),
    "a seed below 0": _set(seed=-1),
    "a rate as a number": _set(lr=0.1),
    "options as a list": _set(options=["a"]),
    "a rule that is none": _set(rule="__class__"),
    "a step that is text": _state(lambda tree: {**tree, "step": "x"}),
    "a step below 0": _state(lambda tree: {**tree, "step": -1}),
    "weights of another shape": _state(lambda tree: {**tree, "params": {"w": torch.zeros(1, 9)}}),
    "weights of another type": _state(lambda tree: {**tree, "params": {"w": torch.zeros(1, 4, dtype=torch.int64)}}),
    "weights that are a list": _state(lambda tree: {**tree, "params": [1, 2]}),
    "no moments": _state(lambda tree: {**tree, "state": {}}),
    "losses that are text": _state(lambda tree: {**tree, "losses": [["a", "b"]]}),
    "JSON's NaN": _tree('{"parts": NaN, "generators": null}'),
    "no parts": _tree("[]"),
    "a format of later": _field(format=99),
    "a step that is none": _field(step="x"),
    "a metric that is text": _field(metric="x"),
    "a lineage that is none": _field(lineage=[{"evil": 1}]),
    "a part that is called as torch's": _tree('{"parts": {"run": {"kind": "object", "class": "os.system", "state": {"~tensor": 1}}}, "generators": null}'),
}  # fmt: skip

TOML = """
name = "forged"
workload = "quadratic"
steps = 4
seeds = 2
evaluations = 1
baseline = "a"
peaks = { low = 0.1, high = 0.1, count = 1 }
[[arms]]
name = "a"
rule = "SGD"
lr = "constant(1.0)"
"""
Study = Callable[[Path, Callable[[], int]], str]  # makes a study's folder, which a first run fills; the study's text


def _workload(text: str, *, options: str = "{}") -> Study:
    def make(_: Path, __: Callable[[], int]) -> str:
        return TOML.replace('"quadratic"', json.dumps(text) + f"\nworkload_options = {options}")

    return make


def _evil_workload(text: str, at: str, link: str | None = None) -> Study:
    def make(folder: Path, filled: Callable[[], int]) -> str:
        Path(at).write_text(EVIL)
        if link is not None:
            Path(link).symlink_to(Path(at).resolve())
        return _workload(text)(folder, filled)

    return make


def _study_linked(name: str, to: str) -> Study:
    def make(folder: Path, filled: Callable[[], int]) -> str:
        filled()
        at = folder / name
        if at.is_dir():
            at.rename(folder / "moved")
        at.unlink(missing_ok=True)
        at.symlink_to(Path(to).resolve())
        return TOML

    return make


def _study_piped(name: str) -> Study:
    def make(folder: Path, filled: Callable[[], int]) -> str:
        filled()
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)
        return TOML

    return make


def _study_text(name: str, text: str) -> Study:
    def make(folder: Path, filled: Callable[[], int]) -> str:
        filled()
        (folder / name).write_text(text)
        return TOML

    return make


def _bundle(change: Callable[[dict[str, Any]], Any]) -> Study:
    def make(folder: Path, filled: Callable[[], int]) -> str:
        filled()
        path = next((folder / "runs").glob("*.json"))
        fields = json.loads(path.read_text())
        change(fields)
        path.write_text(json.dumps(fields))
        return TOML

    return make


def _written(text: str) -> Study:
    return lambda _, __: text


STUDIES: dict[str, Study] = {
    "a command": _workload("os:system", options='{ command = "touch pwned" }'),
    "a file of Python's own": _workload(f"{STDLIB}:run", options='{ args = "touch pwned", shell = true }'),
    "a file above": _evil_workload("../evil.py:problem", "../evil.py"),
    "a link to a file above": _evil_workload("inside.py:problem", "../evil.py", "inside.py"),
    "runs is a link to models": _study_linked("runs", "models"),
    "lock is a link": _study_linked("lock", "precious.txt"),
    "owner is a link": _study_linked("owner", "precious.txt"),
    "the ledger is a link": _study_linked("ledger.db", "precious.txt"),
    "the page is a link": _study_linked("report.html", "precious.txt"),
    "the page's temporary file is a link": _study_linked("report.html.tmp", "precious.txt"),
    "modes without end": _study_linked("modes.json", "/dev/zero"),
    "the frozen file is a pipe": _study_piped("frozen.json"),
    "deep modes": _study_text("modes.json", "[" * 100_000),
    "deep frozen facts": _study_text("frozen.json", '{"a":' * 100_000),
    "frozen facts that are a list": _study_text("frozen.json", "[1]"),
    "deep results": _study_text("runs/0123456789abcdef0123.json", "[" * 100_000),
    "rows elsewhere": _bundle(lambda fields: fields.update(state="../../precious.txt")),
    "rows by their path": _bundle(lambda fields: fields.update(state="/etc/passwd")),
    "branches that are none": _bundle(lambda fields: fields.update(branches=[1])),
    "no branches": _bundle(lambda fields: fields.clear()),
    "a deep file": _written("a = " + "[" * 100_000),
    "an escape in a name": _written(TOML.replace('"a"', '"\\u001b]0;owned\\u0007[red]a\\nVerdict: \\u202e"')),
    "an escape in the study's name": _written(TOML.replace('"forged"', '"\\u001b[31m[bold]forged[/bold]"')),
    "steps without end": _written(TOML.replace("steps = 4", f"steps = {HUGE}")),
    "a rate without end": _written(TOML.replace("constant(1.0)", f"hold(1).repeat({HUGE})")),
    "a name of a million letters": _written(TOML.replace('"quadratic"', '"' + "q" * 1_000_000 + '"')),
    "a rule of a million letters": _written(TOML.replace('"SGD"', '"' + "q" * 1_000_000 + '"')),
}
