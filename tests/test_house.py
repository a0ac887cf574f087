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
# From the ground up: a room imports only what stands on a lower floor, or in itself.
FLOORS = [
    {"draws", "files", "gpus", "kind", "machines", "pictures", "words"},
    {"rules", "schedules", "stats"},
    {"convert", "optim", "theory", "training"},
    {"attach", "tensorflow1", "workloads"},
    {"scripts"},
    {"checkpoint", "explain", "loggers", "study"},
    {"averages", "guards", "range_test", "report", "run"},
    {"claims"},
    {"cli"},
    {"results"},
]
STUDY = ["file", "store", "result", "plan", "script", "train", "verdict", "summary"]  # likewise, of studies
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
DOORS = {SOURCE / "__init__.py", SOURCE / "__main__.py"}  # which are no room
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path not in DOORS)


def module_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """What of tapered a file imports, anywhere in it, by dotted names below tapered."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "tapered":
            names |= {f"{node.module}.{alias.name}".removeprefix("tapered.") for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("tapered.") for alias in node.names if alias.name.startswith("tapered.")}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_downwards(path: Path) -> None:
    own = module_of(path)
    assert own in FLOOR, f"{own} stands on no floor"
    rooms = {name.split(".")[0] for name in imported(path)}
    assert not {room for room in rooms - {own} if FLOOR[room] >= FLOOR[own]}


@pytest.mark.parametrize("path", sorted((SOURCE / "study").rglob("*.py")), ids=lambda path: path.stem)
def test_imports_within_a_study_point_downwards(path: Path) -> None:
    own = path.relative_to(SOURCE / "study").parts[0].removesuffix(".py")
    if own != "__init__":  # the door
        rooms = {name.split(".")[1] for name in imported(path) if name.startswith("study.")}
        assert not {room for room in rooms - {own} if STUDY.index(room) >= STUDY.index(own)}


def test_every_room_has_a_door_that_draws_what_goes_through_it() -> None:
    rooms = [path for path in SOURCE.rglob("*") if path.is_dir() and (path / "__init__.py").exists()]
    files = {"draws", "gpus", "kind", "machines", "words"}
    assert {room.name for room in rooms if room.parent == SOURCE} | files == set(FLOOR)
    doors = {room.name: ast.get_docstring(ast.parse((room / "__init__.py").read_text())) or "" for room in rooms}
    assert [name for name, said in doors.items() if "─►" not in said] == []


def test_the_drawing_of_the_house_is_the_house() -> None:
    text = (ROOT / "docs" / "house.md").read_text()
    drawn = re.findall(r"^  (\w+)/? .* (\d)$", text, re.MULTILINE)
    assert {room: int(floor) for room, floor in drawn} == FLOOR
    assert [*re.findall(r"^    (\w+)/ ", text, re.MULTILINE)] == [room for room in STUDY if room != "verdict"]
    named = {
        name
        for line in re.findall(r"^\|.*`[^`]+\.py`.*$", text, re.MULTILINE)
        for name in re.findall(r"`([\w/]+/\w+\.py)`", line)
    }
    assert [name for name in named if not ((SOURCE / name).exists() or (ROOT / name).exists())] == []


def test_only_the_store_and_the_sampler_know_optuna() -> None:
    users = {path.name for path in MODULES if re.search(r"^\s*(import|from) optuna", path.read_text(), re.MULTILINE)}
    assert users == {"ledger.py", "sampler.py"}


def test_public_names() -> None:
    assert tapered.__all__ == [
        "SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Group", "Lion", "NAdam", "RAdam", "RMSprop", "Recipe",
        "Result", "Schedule", "ScheduleFreeAdamW", "Workload", "average", "constant", "cooldown", "cosine_decay",
        "current_run", "exponential_decay", "from_function", "greedy", "hold", "inverse_sqrt", "linear", "parse",
        "plateau",
        "schedules", "tensorflow1", "warmup",
    ]  # fmt: skip
    assert len(tapered.__all__) <= 32
    assert all(hasattr(tapered, name) for name in tapered.__all__)


def test_import_is_light() -> None:
    heavy = [
        "torch",
        "numpy",
        "optuna",
        "scipy",
        "ray",
        "pydantic",
        "jinja2",
        "cyclopts",
        "rich",
    ]
    code = f"import sys, tapered; print([name for name in {heavy} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_rooms_need_no_import_of_their_own() -> None:
    rooms = [
        "attach",
        "averages",
        "checkpoint",
        "convert",
        "explain",
        "guards",
        "loggers",
        "range_test",
        "schedules",
        "study",
    ]
    rooms += ["tensorflow1", "theory"]
    code = f"import tapered; print(*[getattr(tapered, room).__name__ for room in {rooms}])"
    found = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert found.split() == [f"tapered.{room}" for room in rooms]
    assert {name for name in dir(tapered) if not name.startswith("__")} == {*rooms, *tapered.__all__}
    with pytest.raises(AttributeError, match="module 'tapered' has no attribute 'Adan'"):
        tapered.Adan  # noqa: B018


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
WORDS = ("speed.md", "house.md", "gallery.md", "glossary.md", "cite.md")  # without code
STRANGERS = {"peft", "lightning", "ignite", "skorch", "fastai", "composer", "catalyst", "torchtnt", "torch_lr_finder"}
DOCS = [path for path in sorted((ROOT / "docs").rglob("*.md")) if path.parent.name != "reference"]


@pytest.mark.parametrize("path", [ROOT / "README.md", *DOCS], ids=lambda path: path.name)
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
            if path.name not in {"trainers.md", "lightning.md"} or error.name not in STRANGERS:
                raise
            printed, lacking[error.name] = None, None
    assert ran or path.name in WORDS
    if lacking:
        pytest.skip(f"{ran} blocks ran; not those of {', '.join(lacking)}, which are not installed here")


def test_the_readme_quotes_the_speed_that_was_measured() -> None:
    """Benchmarks keep their figures; the table in README and the page of speed are made from them."""
    table = runpy.run_path(str(ROOT / "benchmarks" / "speed" / "table.py"))
    rows = "\n".join(table["table"](json.loads((ROOT / "benchmarks" / "speed" / "measured.json").read_text())))
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
