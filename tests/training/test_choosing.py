"""What choosing a mode tries, and what it does not: certain ones are not timed, nothing is compiled twice."""

import pytest
from models import perceptron
from torch._inductor import config, cpu_vec_isa

from tapered import rules
from tapered.training import capacity, modes, vectors
from tapered.training.modes import choose, least_padded

RULE = rules.Adam()


@pytest.fixture
def tried(monkeypatch):
    """What is timed and compiled, where a stacked row takes 100 us, 75 at width 256, and one alone 300."""
    found = []

    def seconds(_, mode, rows):
        found.append((mode.kind, rows))
        return 3e-4 if mode.kind == "loop" else 75e-6 if rows == 256 else 1e-4

    monkeypatch.setattr(modes._Probe, "seconds", seconds)
    monkeypatch.setattr(modes._Probe, "fault", lambda _: None)
    return found


def compiling(monkeypatch, tried, takes):
    monkeypatch.setattr(modes._Probe, "compiled", lambda _, width: tried.append(("rows compiled", width)) or takes)


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


def test_a_graph_is_narrower_where_a_cache_holds_few_rows() -> None:
    """Most steps are of 350 rows: two chunks of 176 take 2 * (176 + 24) = 400 rows' time, three of 120 take 432.

    Where a cache holds 103, 0.3 * 2 * 73 = 44 more and 0.3 * 3 * 17 = 15; and of the others three times 120 pad less.
    """
    crowd = ((70, 1), (350, 2499), (420, 501), (560, 749), (700, 251), (840, 499), (910, 1), (1050, 499))
    assert least_padded(1050, crowd) == 176
    assert least_padded(1050, crowd, fitting=103) == 120


def test_the_cache_is_read_where_linux_tells_it(monkeypatch, tmp_path) -> None:
    for place, (level, size) in enumerate([("1", "48K"), ("2", "2048K"), ("3", "32768K")]):
        (tmp_path / f"index{place}").mkdir()
        (tmp_path / f"index{place}" / "level").write_text(f"{level}\n")
        (tmp_path / f"index{place}" / "size").write_text(f"{size}\n")
    monkeypatch.setattr(capacity, "CACHES", tmp_path)
    assert capacity.cached() == 2 << 20
    (tmp_path / "index1" / "size").write_text("unknown")
    assert capacity.cached() == capacity.CACHE_UNKNOWN
    monkeypatch.setattr(capacity, "CACHES", tmp_path / "none")
    assert capacity.cached() == capacity.CACHE_UNKNOWN


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
