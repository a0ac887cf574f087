"""What holds for the whole repository: public names, the direction of imports, light imports, documents that run."""

import ast
import contextlib
import io
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import versions

import tapered

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "tapered"
# From the bottom up; a module imports only what stands on a lower line (or in its own package).
LAYERS = [
    ["schedules", "rules", "shards", "draws", "living", "trees", "memory", "named"],
    ["given", "reasons", "fused", "fingerprint", "kind", "sealed", "sources"],
    ["kernels"],
    ["optim"],
    ["tensorflow1", "plot", "workload", "plan", "attach", "convert"],
    ["checkpoint", "program", "items"],
    ["measures"],
    ["extras", "evaluation"],
    ["rows", "sharing"],
    ["loop", "stack", "guards"],
    ["workloads", "train"],
    ["modes", "steady", "stats", "runs", "arms", "explain", "range_test"],
    ["study_file"],
    ["own"],
    ["load", "ledger_file"],
    ["ledger"],
    ["claimed", "settings"],
    ["single"],
    ["store", "result"],
    ["forest"],
    ["grow", "tasks", "tune"],
    ["rounds"],
    ["prune", "verify"],
    ["conclude"],
    ["study"],
    ["forecast"],
    ["summary"],
    ["report"],
    ["claims"],
    ["terminal"],
    ["commands"],
    ["streams"],
    ["cli"],
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def module_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The modules of tapered that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tapered":
            parts = (node.module or "").split(".")
            names |= {parts[1]} if len(parts) > 1 else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("tapered.")}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    own = module_of(path)
    assert own in LEVEL, f"{own} stands in no layer"
    upwards = {name for name in imported(path) - {own} if LEVEL[name] >= LEVEL[own]}
    assert not upwards


def test_only_the_ledger_knows_optuna() -> None:
    users = {
        module_of(path) for path in MODULES if re.search(r"^\s*(import|from) optuna", path.read_text(), re.MULTILINE)
    }
    assert users == {"ledger"}


def test_public_names() -> None:
    assert tapered.__all__ == [
        "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "RAdam", "RMSprop", "Schedule",
        "ScheduleFreeAdamW", "Workload", "constant", "cooldown", "cosine_decay", "exponential_decay", "from_function",
        "hold", "inverse_sqrt", "linear", "parse", "schedules", "tensorflow1", "warmup",
    ]  # fmt: skip
    assert len(tapered.__all__) <= 30
    assert all(hasattr(tapered, name) for name in tapered.__all__)


def test_import_is_light() -> None:
    heavy = ["optuna", "scipy", "plotly", "ray", "pydantic", "jinja2", "matplotlib", "plotext", "cyclopts", "rich"]
    code = f"import sys, tapered; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_everything_required_has_a_lowest_version_for_make_floor() -> None:
    assert [r for r in versions.required() if not re.fullmatch(r"[a-z0-9-]+(\[\w+\])?>=\d+(\.\d+)*", r)] == []
    pins = dict(re.split(r"(?:\[\w+\])?==", versions.lowest(requirement)) for requirement in versions.required())
    assert pins["torch"] == "2.10"
    assert pins.keys() >= {"scipy", "psycopg", "ray", "jax", "scikit-learn", "pytest"}  # also the extras'
    assert len(pins) == len(versions.required())  # nothing has two floors


def test_no_assert_guards_a_users_input() -> None:
    guarded = [
        path for path in MODULES if any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(path.read_text())))
    ]
    assert guarded == []


BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)
MADE = ("speed.md",)  # by a benchmark; it has no code
STRANGERS = {"peft", "ignite", "skorch", "fastai", "composer", "catalyst", "torchtnt", "torch_lr_finder"}
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_documents_run(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python blocks run one after another; a text block right after one is what it prints.

    A block that imports what is not installed here, and no dependency, is left out, and the test says so.
    """
    monkeypatch.chdir(tmp_path)
    namespace: dict = {"__name__": "__main__"}
    printed, ran, lacking = "", 0, {}
    for language, code in BLOCK.findall(path.read_text()):
        if language == "text":
            assert printed is None or code.strip() == printed.strip()
            continue
        try:
            with contextlib.redirect_stdout(io.StringIO()) as out:
                exec(compile(code, str(path), "exec"), namespace)
            printed, ran = out.getvalue(), ran + 1
        except ModuleNotFoundError as error:
            if path.name != "trainers.md" or error.name not in STRANGERS:
                raise
            printed, lacking[error.name] = None, None
    assert ran or path.name in MADE
    if lacking:
        pytest.skip(f"{ran} blocks ran; not those of {', '.join(lacking)}, which are not installed here")


def test_the_readme_quotes_the_speed_that_was_measured() -> None:
    """Benchmarks keep their figures; the table in README and the page of speed are made from them."""
    table = runpy.run_path(str(ROOT / "benchmarks" / "table.py"))
    rows = "\n".join(table["table"](json.loads((ROOT / "benchmarks" / "measured.json").read_text())))
    assert "not measured" not in rows
    for name in ("README.md", "docs/speed.md"):
        assert rows in (ROOT / name).read_text()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_examples_run(path: Path, tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "error", str(path)], check=True, cwd=tmp_path, timeout=120, capture_output=True
    )
