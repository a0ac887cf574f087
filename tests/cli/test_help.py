"""Every command's help, and every kind of error: on terminals of 60, 80 and 140 columns, and in pipes."""

import io
import re
import sys
from collections import Counter
from pathlib import Path

import pytest

import tapered
from tapered.cli import main as cli
from tapered.cli.main import CODES, VERBS, main

WIDTHS = (60, 80, 140)
SOURCE = Path(tapered.__file__).parent
STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
FRAME = re.compile(r"[\s│╭╮╰╯─*:(),]")  # and how two names of one option are told apart
LINE = 200  # characters: no sentence of a help is longer


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def said(monkeypatch):
    """A command's exit code, and the lines that it wrote to stdout and to stderr."""

    def run(arguments, width=None):
        out, err = (io.StringIO() if width is None else Terminal() for _ in range(2))
        for name, value in (("TERM", "xterm"), ("COLUMNS", width and str(width))):
            monkeypatch.setenv(name, value) if value else monkeypatch.delenv(name)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            code = main(arguments)
        return code, *(STYLES.sub("", stream.getvalue()).splitlines() for stream in (out, err))

    return run


def letters(lines):
    return Counter(FRAME.sub("", "".join(lines)))


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_is_whole_at_every_width_and_a_line_an_option_in_pipes(said, verb):
    words = [*filter(None, [verb]), "--help"]
    code, whole, err = said(words)
    assert (code, err) == (0, [])
    listed = whole.index("Parameters:" if verb else "Commands:") + 1
    options = [line for line in whole[listed:] if line]
    assert all(re.match(r"  (-|\w)[^:]*: \S", line) and line == line.rstrip() for line in options)
    assert not any(noise in line for line in whole for noise in ("default: False", "default: ()", "\\n", "\\x"))
    assert max(map(len, whole)) < LINE + 60 * (verb == "run")
    for width in WIDTHS:
        code, lines, err = said(words, width)
        assert (code, err) == (0, [])
        assert max(len(line.rstrip()) for line in lines) <= width
        assert letters(lines) == letters(whole)
        assert any(line.startswith("╭") for line in lines)


def errors():
    """The names of tapered's own errors, and of those that each is a kind of."""
    texts = (path.read_text() for path in SOURCE.rglob("*.py"))
    return {name: of for text in texts for name, of in re.findall(r"^class (\w+Error)\((\w+)\)", text, re.MULTILINE)}


# those that never end a command: they are caught on the way, or are for Python alone
INNER = {
    "DrawError", "GradientError", "InUseError", "ItemError", "OtherError", "StoppedError", "UncompiledError",
    "UnknownError", "WorkerError", "_LeftError",
}  # fmt: skip


SOME = {
    "DeviceError": 2,
    "MissingDataError": 2,
    "StudyFileError": 2,
    "DamagedError": 3,
    "UnwritableError": 3,
    "RunError": 1,
}


def test_every_error_has_its_exit_code(said, monkeypatch):
    known = errors()

    def kinds(name):
        return [name, *(kinds(known[name]) if name in known else ())]

    assert len(known) > 20
    assert {name for name in known if not {*kinds(name)} & {*CODES}} == INNER
    text = "got " + "steps=0 in a folder with a long name; " * 4 + "try steps=1000"
    for name in sorted(known):
        above = [type(kind, (Exception,), {}) for kind in kinds(name)[1:2]] or [Exception]
        error = type(name, tuple(above), {"__module__": "tapered.x"})

        def broken(*_, error=error, **__):
            raise error(text)

        monkeypatch.setattr(cli, "app", broken)
        for width in (None, *WIDTHS):
            code, out, err = said(["study"], width)
            assert out == []
            assert " ".join("".join(f"{line} " for line in err).split()).startswith(
                f"tapered: {name + ': ' if name in INNER else ''}{text}"
            )
            assert max(map(len, err)) <= (width or 10_000)
            assert len(err) == 1 or width
            expected = next((CODES[kind] for kind in kinds(name) if kind in CODES), 1)
            assert code == expected == SOME.get(name, expected)


WRONG = [
    (2, "nope", 'Unknown command "nope". .* Try tapered --help'),
    (2, "run bmi", "--lr requires an argument. Try tapered run --help"),
    (2, "run bmi --lr 1 --stesp 3", "Unknown option: --stesp. Did you mean --steps?"),
    (2, "run bmi --lr 1 --steps x", 'unable to convert "x" into int'),
    (2, "run nosuch --lr 1", "workload='nosuch' is unknown; expected one of bmi, "),
    (2, "run bmi --lr 1 --rule Adan", "rule='Adan' is unknown; try \"Adam\""),
    (2, "run bmi --lr 1 --device cudaa", "got device='cudaa'; expected .*; try device=\"auto\""),
    (2, "run quadratic --lr 1 --save-every 0", "got --save-every=0; expected updates between two checkpoints"),
    (3, "resume nowhere", "nowhere is no folder; expected one that `tapered run` .* filled"),
    (3, "fork empty --lr 1", "empty holds no checkpoint; expected one that"),
    (3, "check nowhere", "nowhere is no folder"),
    (2, "study", "FILE is missing: .*; try tapered study bmi"),
    (2, "study none.toml", r"none.toml cannot be read \(No such file or directory\); give another path"),
    (2, "study binary.toml", r"binary.toml cannot be read \(it is no text\)"),
    (2, "study bmi --workers x", "executor.workers: got 'x'; expected a number"),
    (3, "show empty", "empty is no study's folder"),
    (3, "export empty", "empty is no study's folder"),
    (2, "tune bmi --trials 0", "tune.trials: got 0; expected a number of at least 1"),
    (2, "claims Q99", "got 'Q99'; expected one of Q1, "),
    (2, "explain bmi --steps 0", "got --steps=0; expected a whole number of at least 1"),
    (2, "range-test quadratic --out a.png", "got 'a.png'; expected a path that ends in .svg; try a.svg"),
    (2, "range-test quadratic --out no/a.svg", "got 'no/a.svg', whose folder is missing; make it first"),
    (2, "schedule cosine", "nothing says how many steps; write .*--steps 2000"),
    (2, "schedule CosineAnnealingLR(T_max=3)", 'torch has it: try tapered convert torch "CosineAnnealingLR'),
    (2, "schedule StepLRScheduler()", 'timm has it: try tapered convert timm "StepLRScheduler'),
    (2, "schedule get_linear_schedule_with_warmup(3)", "transformers has it: try tapered convert transformers cosine"),
    (2, "schedule cosine_decay_schedule(1.0,30)", 'optax has it: try tapered convert optax "cosine_decay_schedule'),
    (2, "bound --steps 10", "got no schedule; try tapered bound"),
    (2, "convert torch CosineAnealingLR(T_max=3)", "did you mean CosineAnnealingLR"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words", "text"), WRONG, ids=[words for _, words, _ in WRONG])
def test_what_is_wrong_is_said_at_every_width(said, here, code, words, text):
    (here / "empty").mkdir()
    (here / "binary.toml").write_bytes(b"\xff\xfe")
    for width in (None, *WIDTHS):
        found, out, err = said(words.split(), width)
        assert found == code
        assert max(map(len, [*out, *err])) <= (width or 10_000)
        assert out == []
        assert re.search(text, " ".join(" ".join(err).split()))
        assert sorted(path.name for path in here.iterdir()) == ["binary.toml", "empty"]
        assert len(err) == 1 or width
