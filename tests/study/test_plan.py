"""Laws of the plan, each against runs replayed and counted without it; published kinds of studies as exact ratios."""

import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from study_cases import planned

from tapered import from_function
from tapered.schedules import cooldown, hold
from tapered.study.plan import prefixes as plan_module
from tapered.study.plan.prefixes import Plan, Segment, share


def tables_of(rows):
    return [{name: np.array(values, dtype=np.float64) for name, values in row.items()} for row in rows]


def counted(tables, groups):
    """The distinct states that exist: one update for each different (group, history up to and with that step)."""
    states = set()
    for table, group in zip(tables, groups, strict=True):
        rows = list(zip(*(table[name].view(np.uint64).tolist() for name in sorted(table)), strict=True))
        states |= {(group, tuple(rows[: k + 1])) for k in range(len(rows))}
    return len(states)


values = st.sampled_from([0.0, -0.0, 1.0, 1.0 + 2**-52])
runs = st.integers(1, 6).flatmap(
    lambda n: st.fixed_dictionaries({name: st.lists(values, min_size=n, max_size=n) for name in ("beta1", "lr")})
)
studies = st.lists(st.tuples(runs, st.integers(0, 1)), min_size=1, max_size=8)
ladder = [({"beta1": [0.0] * n, "lr": [1.0] * n}, 0) for n in (1, 2, 3, 3)]


@given(studies)
@example(ladder)
@example(ladder[::-1])
@example([*ladder[1:3], ladder[1]])  # one that ends between two that are equal and longer
@example([ladder[2], ladder[0], ladder[2]])
def test_the_plan_is_the_runs_themselves(study):
    tables, groups = tables_of(row for row, _ in study), [group for _, group in study]
    plan = share(tables, groups)
    for run, (table, path) in enumerate(zip(tables, plan.paths, strict=True)):
        segments = [plan.segments[i] for i in path]
        assert [s.start for s in segments] == [0, *(s.stop for s in segments[:-1])]
        assert [s.parent for s in segments] == [None, *path[:-1]]
        assert segments[-1].stop == len(table["lr"])
        for s in segments:
            assert run in s.runs
            for name, column in table.items():
                first = tables[s.runs[0]][name]
                assert column[s.start : s.stop].tobytes() == first[s.start : s.stop].tobytes()
    assert plan.asked == sum(len(table["lr"]) for table in tables)
    assert plan.to_run == sum(s.steps for s in plan.segments) == counted(tables, groups) <= plan.asked
    assert plan.ratio == plan.asked / plan.to_run >= 1
    assert (plan.reason is None) == (plan.to_run < plan.asked)


@given(studies)
def test_segments_cover_each_step_of_each_run_once_parents_first(study):
    tables, groups = tables_of(row for row, _ in study), [group for _, group in study]
    plan = share(tables, groups)
    covered = Counter((run, k) for s in plan.segments for run in s.runs for k in range(s.start, s.stop))
    assert covered == Counter((run, k) for run, table in enumerate(tables) for k in range(len(table["lr"])))
    assert len({s.runs for s in plan.segments}) == len(plan.segments)  # its runs identify a segment
    for i, s in enumerate(plan.segments):
        assert s.start < s.stop
        assert s.runs == tuple(sorted(s.runs))
        assert s.parent is None if s.start == 0 else s.parent < i
        assert len({groups[run] for run in s.runs}) == 1
    assert [i for tree in plan.trees for i in tree] == list(range(len(plan.segments)))
    for tree in plan.trees:
        assert all((plan.segments[i].parent is None) == (i == tree[0]) for i in tree)
        assert all(plan.segments[i].parent in tree for i in tree[1:])


@given(studies)
def test_width_and_events_are_counted(study):
    plan = share(tables_of(row for row, _ in study), [group for _, group in study])
    for indices in (None, *plan.trees):
        segments = plan.segments if indices is None else [plan.segments[i] for i in indices]
        assert set(plan.events(indices)) == {s.start for s in segments} | {s.stop for s in segments}
        assert list(plan.events(indices)) == sorted(plan.events(indices))
        assert plan.width(indices) == max(sum(s.start <= k < s.stop for s in segments) for k in range(6))


@pytest.mark.parametrize("step", [0, 1, 63, 64, 65, 575, 576, 5_000, 9_999])
def test_one_value_that_differs_in_its_last_bit_splits_exactly_there(step):
    lr, other = np.full(10_000, 0.1), np.full(10_000, 0.1)
    other[step] = np.nextafter(0.1, 1)
    plan = share([{"eps": lr, "lr": lr}, {"eps": other, "lr": lr}, {"eps": lr, "lr": lr.copy()}], [0, 0, 0])
    trunk = [Segment(0, step, (0, 1, 2))] if step else []
    parent = 0 if step else None
    assert plan.segments == (*trunk, Segment(step, 10_000, (0, 2), parent), Segment(step, 10_000, (1,), parent))


def test_the_order_of_runs_does_not_depend_on_their_numbers():
    tables = tables_of([{"lr": [1.0, value]} for value in (3.0, 1.0, 2.0)])
    assert [s.runs for s in share(tables, [0, 0, 0]).segments] == [(0, 1, 2), (0,), (1,), (2,)]


def test_a_ladder_of_a_thousand_forks_needs_no_recursion():
    table = np.ones(2_000)
    tables = [{"lr": np.concatenate([table[:k], np.zeros(2_000 - k)])} for k in range(1, 1_001)]
    plan = share(tables, [0] * 1_000)
    assert plan.to_run == 1_000 + sum(2_000 - k for k in range(1, 1_001))


def test_arrays_that_are_the_same_object_are_not_compared_nor_are_seeds(monkeypatch):
    eps = np.ones(2)
    tables = [{"eps": eps, **table} for table in tables_of([{"lr": [1.0, 1.0]}, {"lr": [1.0, 2.0]}])]
    compared = []
    first = plan_module._first
    monkeypatch.setattr(plan_module, "_first", lambda x, y: compared.append((x[0], y[0])) or first(x, y))
    alone = share(tables, [0, 0])
    assert len(compared) == 2  # once to sort, once to see where neighbours part
    plan = share(tables * 50, [run // 2 for run in range(100)])
    assert len(compared) == 4
    assert plan.segments[-3:] == (
        Segment(0, 1, (98, 99), None), Segment(1, 2, (98,), 147), Segment(1, 2, (99,), 147)
    )  # fmt: skip
    assert len(plan.trees) == 50
    assert plan.ratio == alone.ratio == 4 / 3


T = 1_000


def held_then(at, value):
    """1 up to a share of T, then numbers that no other schedule has."""
    return np.where(np.arange(T) < at * T, 1.0, value)


def hold_then_decay():
    """Constant; x0.1 at 50, 75 and 90%; cooldowns over the last 10, 20 and 40% in two shapes; two drops."""
    drops = [held_then(at, 0.1) for at in (0.5, 0.75, 0.9)]
    falls = [held_then(1 - share, (2 + shape) + np.arange(T)) for share in (0.1, 0.2, 0.4) for shape in (0.0, 0.5)]
    twice = np.where(np.arange(T) < 0.75 * T, drops[0], 0.01)
    return [np.ones(T), *drops, *falls, twice]


def ratio(schedules):
    plan = share([{"lr": lr} for lr in schedules], [0] * len(schedules))
    return Fraction(plan.asked, plan.to_run)


def test_eleven_that_hold_then_decay_cost_three_and_a_half():
    assert ratio(hold_then_decay()) == Fraction(11 * T, 7 * T // 2)
    assert round(float(Fraction(22, 7)), 2) == 3.14


@pytest.mark.parametrize(("more", "figure"), [(1, 2.70), (2, 2.41), (4, 2.05)])
def test_schedules_that_decay_from_the_start_share_the_warmup_only(more, figure):
    warm = np.minimum((np.arange(T) + 1) / (0.05 * T), 1.0)
    decays = [held_then(0.05, 10.0 * (1 + i) + np.arange(T)) for i in range(more)]
    found = ratio([warm * schedule for schedule in hold_then_decay() + decays])
    assert found == Fraction(100 * (11 + more), 350 + 95 * more)
    assert round(float(found), 2) == figure


@pytest.mark.parametrize(("horizons", "figure"), [(4, 1.92), (10, 2.89)])
def test_a_ladder_of_cooldowns_shares_its_trunk(horizons, figure):
    ends = [T * (i + 1) // horizons for i in range(horizons)]
    ladder = [np.where(np.arange(end) < 0.8 * end, 1.0, 2.0 + np.arange(end) + 0.01 * end) for end in ends]
    found = ratio(ladder)
    assert found == Fraction(sum(ends) * 10, 8 * T + 2 * sum(ends))
    assert round(float(found), 2) == figure


def test_schedules_share_up_to_the_step_at_which_they_part():
    """A cooldown's first value is the one held, so runs part one step after it begins."""
    falls = [hold(800).then(cooldown(200, shape=shape)).table(T) for shape in ("linear", "1-sqrt")]
    assert share([{"lr": lr} for lr in (np.ones(T), *falls)], [0] * 3).events() == (0, 801, T)


def test_a_users_own_function_shares_too():
    mine = from_function(lambda step: 0.1 if step < 30 else 0.1 / step)
    plan = share([{"lr": np.full(40, 0.1)}, {"lr": mine.table(40)}], ["seed 0", "seed 0"])
    assert plan.segments[0] == Segment(0, 30, (0, 1))


def test_the_full_study_is_planned_as_it_is_written():
    loaded = planned("bmi-full")
    arms = [(arm, peak) for arm in loaded.study.arms for peak in loaded.study.peaks_of(arm)]
    tables = [arm.path(loaded.steps, peak).hypers for arm, peak in arms]
    plan = share(tables * 10, [seed for seed in range(10) for _ in arms])
    assert len(loaded.study.arms) == 15
    assert (loaded.steps, plan.asked, len(plan.trees)) == (5_000, 1_050 * 5_000, 70)
    # seven and a half runs a tree, but for the first step of the decays and that of each pair of cooldowns
    assert plan.to_run == 70 * (5_000 * 15 // 2 - 4 - 6)
    assert plan.width(plan.trees[0]) == 15
    assert plan.events() == (0, 1, 2_500, 3_001, 3_750, 4_001, 4_500, 4_501, 5_000)


@pytest.mark.parametrize(
    ("rows", "groups", "reason"),
    [
        ([{"lr": [1.0]}], [0], "there are no two runs that could share a step"),
        ([{"lr": [1.0]}] * 2, [0, 1], "no two runs have the same workload, rule and seed.*seeds never do"),
        (
            [{"eps": [1.0], "lr": [1.0]}, {"eps": [1.0], "lr": [2.0]}],
            [0, 0],
            "differ in lr at step 0.*peaks and seeds never",
        ),
        ([{"b": [1.0], "lr": [1.0]}, {"b": [2.0], "lr": [2.0]}], [0, 0], "differ in b or lr at step 0"),
        ([{"b": [1.0, 1.0], "lr": [1.0, 1.0]}, {"b": [1.0, 2.0], "lr": [2.0, 1.0]}], [0, 0], "differ in lr at step 0"),
        ([{"lr": [1.0]}, {"b": [2.0]}, {"lr": [2.0]}], [0, 1, 0], "differ in lr at step 0"),
    ],
)
def test_it_says_why_nothing_is_shared(rows, groups, reason):
    plan = share(tables_of(rows), groups)
    assert plan.ratio == 1
    assert plan.reason is not None
    assert re.search(reason, plan.reason)


def test_nothing_to_plan():
    plan = share([], [])
    assert (plan.segments, plan.ratio, plan.trees, plan.paths, plan.width(), plan.events()) == ((), 1.0, (), (), 0, ())
    assert Plan((), 0, 0).reason is None


@pytest.mark.parametrize(
    ("tables", "groups", "message"),
    [
        ([{"lr": np.ones(1)}], [], "got 1 tables and 0 groups; expected one group for each table"),
        ([{"lr": np.ones(1)}, {"b": np.ones(1)}], [0, 0], r"run 1 of group 0 has hypers \['b'\]; expected \['lr'\]"),
        ([{"b": np.ones(1), "lr": np.ones(2)}], [0], "run 0 has hypers of shapes .*expected one shape"),
        ([{}], [0], "run 0 has hypers of shapes {}"),
        ([{"lr": np.ones(2, np.float32)}], [0], r"run 0 has 'lr' of type float32 .*try schedule.table\(steps\)"),
        ([{"lr": np.ones((2, 1))}], [0], r"of type float64 and shape \(2, 1\)"),
        ([{"lr": np.ones(0)}], [0], "with at least one step"),
    ],
)
def test_faults_are_refused(tables, groups, message):
    with pytest.raises(ValueError, match=message):
        share(tables, groups)


def test_the_crowd_counts_the_segments_that_train_at_a_time() -> None:
    runs = [((0, 1, 2), 0, 3, None), ((0,), 3, 10, 0), ((1, 2), 3, 5, 0), ((1,), 5, 10, 2), ((2,), 5, 10, 2)]
    segments = tuple(Segment(start, stop, mine, parent) for mine, start, stop, parent in runs)
    plan = Plan(segments, asked=30, to_run=22)
    assert plan.crowd() == ((1, 3), (2, 2), (3, 5))
    assert plan.crowd([1, 2]) == ((2, 2), (1, 5))
    assert sum(rows * steps for rows, steps in plan.crowd()) == sum(segment.steps for segment in plan.segments)
