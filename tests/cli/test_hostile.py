"""Folders that a stranger forged: none runs code, writes or deletes outside of itself, or hangs; each is told in words."""

# ruff: noqa: E501, PT018  # texts of forged files, in one line each
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import hostile
import pytest
from saving import let_go

from tapered.cli.main import main

SECONDS = 10
FILE, FOLDER = Path("forged.toml"), Path("studies")
STUDY = ["study", str(FILE), "--store", str(FOLDER)]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's folder, beside things that must stay; no command may take long."""
    here = tmp_path / "home"
    (here / "models").mkdir(parents=True)
    for file in ("precious.txt", "models/best.safetensors"):
        (here / file).write_text("precious")
    monkeypatch.chdir(here)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def late(*_: object) -> None:
        raise AssertionError(f"no answer in {SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    yield here
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)
    let_go()


def unharmed(home: Path) -> None:
    assert not (home / "pwned").exists() and not (home.parent / "pwned").exists()
    for file in ("precious.txt", "models/best.safetensors"):
        assert (home / file).read_text() == "precious"
    assert sorted(path.name for path in (home / "models").iterdir()) == ["best.safetensors"]


def told(capsys: pytest.CaptureFixture[str], code: int) -> None:
    """In a sentence, without a traceback, and with nothing that a terminal acts on."""
    out, err = capsys.readouterr()
    assert not any(letter in out + err for letter in "\x1b\x07\u202e")
    assert "Traceback" not in err
    assert "--debug shows where" not in err, err[-300:]
    if code:
        assert (out + err).strip()
        assert len(err) < 10_000


@pytest.mark.parametrize("name", hostile.RUNS)
def test_a_forged_run(name: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path("stranger")
    hostile.RUNS[name](folder)
    for words in (
        ["check"],
        ["explain"],
        ["fork", "--lr", "1e-4", "--into", "child", "--steps", "3"],
        ["resume", "--steps", "3"],
    ):
        code = main([words[0], str(folder), *words[1:]])
        assert code in (0, 1, 2, 3), words
        told(capsys, code)
        unharmed(home)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished study, of which forgeries are made."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("trained"))
        FILE.write_text(hostile.TOML)
        assert main(STUDY) == 0
        return FOLDER.absolute()


@pytest.mark.parametrize("name", hostile.STUDIES)
def test_a_forged_study(name: str, trained: Path, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def filled() -> int:
        shutil.copytree(trained, FOLDER)
        return 0

    FILE.write_text(hostile.STUDIES[name](FOLDER, filled))
    capsys.readouterr()
    code = main(STUDY)
    assert code in (0, 1, 2, 3)
    told(capsys, code)
    unharmed(home)
