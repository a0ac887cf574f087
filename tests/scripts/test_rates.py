"""The rate that was applied against the rate that was asked."""

import pytest
from script_runs import ask, cosine

from tapered.scripts.rates import applied, compare

ASKED = [0.0, 0.5, 1.0, 0.5]


def lines(folder, *made, rank=0):
    name = f"applied-{rank}.csv" if rank else "applied.csv"
    (folder / name).write_text("".join(f"{update},{rate!r}\n" for update, rate in made))
    return applied(folder)


RIGHT = list(enumerate(ASKED))


def test_what_is_as_asked_has_no_difference(tmp_path) -> None:
    assert compare(ASKED, lines(tmp_path, *RIGHT)) is None
    assert compare(ASKED, lines(tmp_path, *RIGHT, *RIGHT[1:])) is None  # trained again after a kill
    assert compare(ASKED, lines(tmp_path, (0, 0.9e-9), (1, 0.5 + 4e-7), (2, 1 - 9e-7), RIGHT[3])) is None


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ([(0, 1.1e-9), *RIGHT[1:]], "update 0 was made at 1.1e-09; asked was 0.0"),
        ([*RIGHT[:1], (1, 0.5 + 6e-7), *RIGHT[2:]], "update 1 was made at 0.5000006; asked was 0.5"),
        ([*RIGHT, (1, 0.6), (1, 0.5)], "update 1 was made at 0.6; asked was 0.5"),
        ([*RIGHT, (2, float("nan"))], "update 2 was made at nan; asked was 1.0"),
        ([*RIGHT, (4, 0.5)], "update 4 was made at 0.5; the run ends before it"),
        ([*RIGHT[:2], RIGHT[3]], "update 2 was not seen; asked was 1.0"),
        ([], "update 0 was not seen; asked was 0.0"),
        ([(3, 0.1)], "update 3 was made at 0.1; asked was 0.5"),
    ],
)
def test_the_first_difference_is_named(made, said, tmp_path) -> None:
    assert str(compare(ASKED, lines(tmp_path, *made))) == said


def test_bounds_say_which_updates_are_missed(tmp_path) -> None:
    seen = lines(tmp_path, RIGHT[1], RIGHT[2])
    assert compare(ASKED, seen, start=1, stop=3) is None
    assert compare(ASKED, seen, start=1).update == 3
    assert compare(ASKED, seen, stop=3).update == 0
    assert compare(ASKED, lines(tmp_path, *RIGHT), start=1, stop=3) is None


def test_lines_that_are_cut_or_none_are_left_out(tmp_path) -> None:
    assert applied(tmp_path) == []
    (tmp_path / "applied.csv").write_bytes(b"0,0.0\n1,0.?\n\xff\n1,\n1,0.5\n,3\n2,1.0\n3,0.")
    (tmp_path / "applied-old.csv").write_text("0,9\n")
    (one,) = applied(tmp_path)
    assert one.updates.tolist() == [0, 1, 2]
    assert str(compare(ASKED, [one])) == "update 3 was not seen; asked was 0.5"


def test_another_process_at_another_rate_is_named(tmp_path) -> None:
    lines(tmp_path, (1, 0.25), rank=3)
    seen = lines(tmp_path, *RIGHT)
    assert [one.rank for one in seen] == [0, 3]
    assert str(compare(ASKED, seen)) == "update 1 on rank 3 was made at 0.25; asked was 0.5"


def test_a_run_of_many_updates_is_compared_at_once(tmp_path) -> None:
    table = cosine(steps=100_000)
    run = ask(tmp_path, table)
    seen = lines(tmp_path, *enumerate(table))
    assert compare(run.rates, seen) is None
