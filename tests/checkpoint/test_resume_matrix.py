"""The resume matrix: whatever is loaded, in whatever order, our rates are right or the run is refused."""

import pytest
import resume_matrix as matrix
import resume_sides as sides
import torch
from resume_cases import ALONE, EIGHT

REFUSED = {
    "tapered": {
        "load, build, load": "`lr` in group 0 differs: saved ",
        "schedule only": "got a state of 7 completed updates with an empty `state`",
    },
    "attach": {"schedule only": "the clock stands at step 7, but the optimizer's state went through 0 updates"},
}


@pytest.mark.parametrize("name", matrix.CASES)
@pytest.mark.parametrize("side", REFUSED)
def test_ours_are_right_or_refused(side, name) -> None:
    row = matrix.matrix(sides.SIDES[side], [name])[name]
    for order, outcome in row.items():
        if order in REFUSED[side]:
            assert (outcome.word, outcome.said.startswith(REFUSED[side][order])) == ("refused", True), outcome
        else:
            assert outcome == matrix.Outcome("right"), order


@pytest.mark.parametrize("name", ALONE)
def test_torch_is_right_where_it_should_be(name) -> None:
    """That the closed forms are torch's, and that its safe order is safe."""
    row = matrix.matrix(sides.TORCH, [name], [matrix.STRAIGHT, "build, then both"])[name]
    assert {outcome.word for outcome in row.values()} == {"right"}


@pytest.mark.skipif(not torch.__version__.startswith("2.13."), reason="these are torch 2.13's faults")
def test_torch_is_wrong_where_it_was_measured() -> None:
    counts = matrix.summary({name: matrix.matrix(side) for name, side in sides.SIDES.items()})
    assert counts == {
        "cases": 100, "torch_right": 39, "ours_right": 60, "ours_refused": 40,
        "alone_cases": 70, "alone_torch_right": 35, "alone_ours_right": 42, "alone_ours_refused": 28,
        "eight_cases": 40, "eight_torch_right": 19, "eight_ours_right": 24, "eight_ours_refused": 16,
    }  # fmt: skip
    assert len(EIGHT) * len(matrix.ORDERS) == 40


@pytest.mark.parametrize("name", ["Linear", "Sequential", "Chained(Seq, Const)", "Lambda"])
@pytest.mark.parametrize("order", [("schedule", "optimizer"), ("optimizer", "schedule", "optimizer", "schedule")])
def test_a_clock_is_loaded_in_any_order_and_twice(name, order) -> None:
    def resumed(case, states):
        return sides.load(sides.clocked(case), states, *order)

    side = sides.Side(sides.clocked, {"any": resumed})
    assert matrix.outcome(side, "any", matrix.CASES[name]) == matrix.Outcome("right")


def test_the_judge_tells_one_wrong_rate() -> None:
    case = matrix.CASES["Linear"]
    rates = case.schedule.table(18, 7).tolist()
    assert matrix.judged(rates, case, 7) == matrix.Outcome("right")
    rates[3] *= 1.00001
    assert matrix.judged(rates, case, 7).word == "1 wrong"


def test_it_fits_a_terminal() -> None:
    rows = matrix.matrix(sides.TORCH, ["Linear", "Chained(Lin, Lambda)"])
    text = matrix.table(rows, "torch") + "\n" + matrix.reasons(rows)
    assert max(map(len, text.splitlines())) <= 80
