"""What choosing a mode tries, and what it does not: certain ones are not timed, nothing is compiled twice."""

import pytest
from models import perceptron
from torch._inductor import config, cpu_vec_isa

from tapered import rules
from tapered.training import modes, vectors
from tapered.training.modes import choose, least_padded
from tapered.training.probe import Probe

RULE = rules.Adam()


@pytest.fixture
def tried(monkeypatch):
    """What is timed and compiled, where a stacked row takes 100 us, 75 at width 256, and one alone 300."""
    found = []

    def seconds(_, mode, rows):
        found.append((mode.kind, rows))
        return 3e-4 if mode.kind == "loop" else 75e-6 if rows == 256 else 1e-4

    monkeypatch.setattr(Probe, "seconds", seconds)
    monkeypatch.setattr(Probe, "fault", lambda _: None)
    return found


def compiling(monkeypatch, tried, takes):
    monkeypatch.setattr(Probe, "compiled", lambda _, width: tried.append(("rows compiled", width)) or takes)


def test_where_compiling_pays_for_certain_one_width_is_timed(monkeypatch, tried) -> None:
    compiling(monkeypatch, tried, 1e-5)
    mode = choose(perceptron(), RULE, rows=256, steps=100_000)
    assert tried == [("loop", 1), ("rows", 32), ("rows compiled", 256)]
    assert (mode.kind, mode.width) == ("rows compiled", 256)
    assert mode.reason == "10 us a step of a row in one graph, 100 us stacked, 300 us alone"


@pytest.mark.parametrize(("takes", "kind"), [(72e-6, "rows compiled"), (80e-6, "rows"), ("no", "rows")])
def test_where_it_is_close_every_width_is_timed_and_the_graph_is_made_once(monkeypatch, tried, takes, kind) -> None:
    compiling(monkeypatch, tried, takes)
    mode = choose(perceptron(), RULE, rows=256, steps=100_000)
    widths = [rows for what, rows in tried if what == "rows"]
    assert sorted(widths) == [8, 32, 128, 256]
    assert [what for what, _ in tried].count("rows compiled") == 1
    assert (mode.kind, mode.width) == (kind, 256)


def test_a_short_training_is_not_compiled(monkeypatch, tried) -> None:
    compiling(monkeypatch, tried, 1e-9)
    assert choose(perceptron(), RULE, rows=256, steps=300).reason.endswith(modes.UNPAID)
    assert "rows compiled" not in [what for what, _ in tried]


def test_a_graph_is_the_narrowest_of_those_that_are_as_good() -> None:
    """By hand: most steps are of 350 rows, for which two chunks of 176 take 2 * (176 + 16) = 384 rows' time, four of 88
    take 416; over all steps the former take 3,071,424 and the latter 3,197,168, a 25th more; 80 take a tenth more.
    """
    crowd = ((70, 1), (350, 2499), (420, 501), (560, 749), (700, 251), (840, 499), (910, 1), (1050, 499))
    assert least_padded(1050, crowd) == 88
    assert least_padded(256, ((256, 100),)) == 256  # 272 rows' time; of two of 128, 288, a 17th more
    assert least_padded(20, ((20, 100),)) == 24


@pytest.fixture(autouse=True)
def _unasked(monkeypatch):
    """No vectors that a compiler was no good with."""
    monkeypatch.setattr(vectors, "_unknown", [])


def test_a_compiler_that_does_not_know_the_vectors_is_asked_by_torch() -> None:
    asked = []

    def compile_with(more):
        asked.append(dict(more))
        if more:
            raise RuntimeError("unrecognized command-line option")
        return "made"

    with config.patch({"cpp.vec_isa_ok": None}):
        assert [vectors.known(compile_with) for _ in range(2)] == ["made", "made"]
    assert asked == [{"cpp.vec_isa_ok": True}, {}, {}]


def test_what_no_vectors_are_to_blame_for_is_raised_and_not_held_against_them() -> None:
    asked = []

    def compile_with(more):
        asked.append(dict(more))
        raise ValueError("another reason")

    for _ in range(2):
        with pytest.raises(ValueError, match="another reason"), config.patch({"cpp.vec_isa_ok": None}):
            vectors.known(compile_with)
    assert asked == 2 * [{"cpp.vec_isa_ok": True}, {}]


@pytest.mark.parametrize("said", [True, False])
def test_what_the_user_says_of_vectors_stands(said) -> None:
    with config.patch({"cpp.vec_isa_ok": said}):
        assert vectors.known(dict) == {}


def test_the_vectors_are_those_that_torch_finds_by_trying() -> None:
    found = []
    for said in (None, True):
        cpu_vec_isa.valid_vec_isa_list.cache_clear()
        with config.patch({"cpp.vec_isa_ok": said}):
            found.append([str(isa) for isa in cpu_vec_isa.valid_vec_isa_list()])
    cpu_vec_isa.valid_vec_isa_list.cache_clear()
    assert found[0] == found[1]
