"""Rows trained together: forked equals from scratch, bit for bit; neighbours, places and widths change nothing."""

import numpy as np
import pytest
import torch
from models import ALL, perceptron

from tapered import rules
from tapered.training import batches
from tapered.training.advance import LOOP, Mode, advance, evaluate
from tapered.training.losses import LOSSES_KEPT, keep, kept
from tapered.training.rows import Path, Rows, start, tabulate

STEPS = 24
RULE = rules.Adam(decay="decoupled")


def rows_of(width: int, kind: str = "rows") -> Mode:
    return Mode(kind, width, "a test")


def paths() -> list[Path]:
    """Eight schedules in a tree of four levels: they part at steps 6, 12 and 18."""
    found = []
    for code in range(8):
        rate = np.full(STEPS, 0.01)
        for bit, at in enumerate((6, 12, 18)):
            if code >> bit & 1:
                rate[at:] *= 0.3
        hypers = {name: np.full(STEPS, value) for name, value in {**RULE.hypers, "weight_decay": 0.1}.items()}
        found.append(Path(RULE, {"lr": rate, **hypers}))
    return found


def difference(a: Rows, b: Rows) -> float:
    """The largest over parameters and rule state."""
    pairs = [(a.params[name], b.params[name]) for name in a.params]
    pairs += [(part[key], b.state[name][key]) for name, part in a.state.items() for key in part]
    assert all(x.shape == y.shape for x, y in pairs)
    return max(float((x - y).abs().max()) for x, y in pairs)


def grown(workload, mode: Mode) -> Rows:
    """The eight runs as a tree: one row, forked where they part."""
    rows, runs, table = start(workload, RULE, [3]), [[0, 1, 2, 3, 4, 5, 6, 7]], paths()
    for bit, stop in enumerate((6, 12, 18, STEPS)):
        rows = advance(workload, rows, [table[members[0]] for members in runs], stop, mode=mode)
        if stop < STEPS:
            parts = [[[r for r in members if r >> bit & 1 == side] for side in (0, 1)] for members in runs]
            rows = rows.take([place for place, pair in enumerate(parts) for _ in pair])
            runs = [half for pair in parts for half in pair]
    return rows.take([runs.index([run]) for run in range(8)])


@pytest.mark.parametrize("name", ALL)
def test_forked_equals_from_scratch_bit_for_bit(name: str) -> None:
    workload = ALL[name]()
    forked = grown(workload, rows_of(8))
    scratch = advance(workload, start(workload, RULE, [3] * 8), paths(), STEPS, mode=rows_of(16))
    assert difference(forked, scratch) == 0
    assert difference(forked.take([0]), forked.take([1])) > 0  # and the runs are not all the same
    assert forked.losses == scratch.losses


@pytest.mark.parametrize("name", ALL)
def test_a_row_depends_on_neither_place_nor_neighbours(name: str) -> None:
    workload, table = ALL[name](), paths()
    seeds = [0, 1, 0, 2, 2, 1, 5, 0]
    whole = advance(workload, start(workload, RULE, seeds), table, STEPS, mode=rows_of(8))
    order = [6, 2, 7, 0]
    few = advance(
        workload, start(workload, RULE, [seeds[i] for i in order]), [table[i] for i in order], STEPS, mode=rows_of(32)
    )
    assert difference(few, whole.take(order)) == 0
    many = advance(workload, start(workload, RULE, seeds * 3), table * 3, STEPS, mode=rows_of(256))
    assert difference(many.take(range(9, 17)), whole.take([1, 2, 3, 4, 5, 6, 7, 0])) == 0


@pytest.mark.parametrize("name", ALL)
def test_rows_are_the_loop_up_to_rounding(name: str) -> None:
    workload, table = ALL[name](), paths()
    together = advance(workload, start(workload, RULE, range(8)), table, STEPS, mode=rows_of(8))
    alone = advance(workload, start(workload, RULE, range(8)), table, STEPS)
    if name != "transformer":  # a key's bias has no gradient but rounding, which Adam makes as large as any
        assert difference(together, alone) < 2e-4
    for ours, theirs in zip(together.losses, alone.losses, strict=True):
        assert [loss for _, loss in ours] == pytest.approx([loss for _, loss in theirs], rel=1e-4)
    for a, b in zip(
        evaluate(workload, together, "valid", mode=rows_of(8)), evaluate(workload, alone, "valid"), strict=True
    ):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-4)


def test_compiled_rows_fork_bit_for_bit_too() -> None:
    workload = perceptron()
    forked = grown(workload, rows_of(8, "rows compiled"))
    scratch = advance(workload, start(workload, RULE, [3] * 8), paths(), STEPS, mode=rows_of(8, "rows compiled"))
    assert difference(forked, scratch) == 0
    assert difference(forked, grown(workload, rows_of(8))) < 2e-4


EVERY = [
    rules.SGD(momentum=True), rules.Adam(amsgrad=True), rules.Adam(epsilon="hat"), rules.NAdam(), rules.RAdam(),
    rules.Adamax(), rules.RMSprop(centered=True, momentum=True), rules.Adagrad(), rules.Adadelta(), rules.Lion(),
    rules.ScheduleFreeAdamW(),
]  # fmt: skip


@pytest.mark.parametrize("rule", EVERY, ids=lambda rule: type(rule).__name__)
def test_every_rule_trains_in_rows(rule) -> None:
    workload = perceptron()
    rates = [tabulate(rule, 10, lr=0.001 * (1 + i)) for i in range(8)]
    together = advance(workload, start(workload, rule, [0] * 8), rates, 10, mode=rows_of(8))
    alone = advance(workload, start(workload, rule, [0] * 8), rates, 10)
    assert difference(together, alone) < 1e-4
    theirs = evaluate(workload, alone, "valid")
    assert [row["loss"] for row in evaluate(workload, together, "valid", mode=rows_of(8))] == pytest.approx(
        [row["loss"] for row in theirs], abs=1e-4
    )


@pytest.mark.parametrize("mode", [LOOP, rows_of(8)])
def test_a_diverged_row_is_marked_and_its_neighbours_do_not_notice(mode: Mode) -> None:
    workload, rule = perceptron(), rules.SGD()
    wild = np.full(STEPS, 0.1)
    wild[5:] = 1e30
    table = [tabulate(rule, STEPS, lr=0.1) for _ in range(8)]
    calm = advance(workload, start(workload, rule, range(8)), table, STEPS, mode=mode)
    table[2] = Path(rule, {**table[2].hypers, "lr": wild})
    rows = advance(workload, start(workload, rule, range(8)), table, STEPS, mode=mode)
    assert rows.diverged[2] is not None
    assert 6 <= rows.diverged[2] <= 9
    assert [step for place, step in enumerate(rows.diverged) if place != 2] == [None] * 7
    others = [0, 1, 3, 4, 5, 6, 7]
    assert difference(rows.take(others), calm.take(others)) == 0
    assert rows.losses[2] == calm.losses[2][:6] + rows.losses[2][6:]
    assert all(np.isfinite(loss) for _, loss in rows.losses[2])
    again = advance(workload, rows, table, STEPS, mode=mode)
    assert again.diverged == rows.diverged


@pytest.mark.parametrize("mode", [LOOP, rows_of(8)])
def test_stopped_anywhere_and_gone_on_with_is_the_same(mode: Mode) -> None:
    workload, table = perceptron(), paths()
    begun = start(workload, RULE, range(8))
    whole = advance(workload, begun, table, STEPS, mode=mode)
    asked = []

    def stop(updates: int) -> bool:
        asked.append(updates)
        return sum(asked) >= 40

    half = advance(workload, begun, table, STEPS, mode=mode, on_step=stop)
    assert sum(half.steps) == sum(asked) < 8 * STEPS
    rest = advance(workload, half, table, STEPS, mode=mode)
    assert difference(rest, whole) == 0
    assert rest.losses == whole.losses
    assert begun.steps == (0,) * 8
    assert difference(begun, start(workload, RULE, range(8))) == 0  # rows given are not written


def test_losses_are_kept_alike_in_both() -> None:
    values = np.random.default_rng(0).normal(size=5000)
    one_by_one: list[tuple[int, float]] = []
    for step, value in enumerate(values):
        keep(one_by_one, step, float(value))
    in_blocks: tuple[tuple[int, float], ...] = ()
    at = 0
    for size in (1, 2, 300, 7, 1000, 2690, 1000):
        (in_blocks,) = kept([in_blocks], at, [size], values[at : at + size, None])
        at += size
    assert in_blocks == tuple(one_by_one)
    assert len(in_blocks) <= LOSSES_KEPT


def test_losses_of_rows_that_end_at_different_steps_are_kept_as_of_each() -> None:
    """Rows of a chunk that diverge in it, and one that came with fewer losses."""
    values, lengths = np.random.default_rng(1).normal(size=(900, 4)), [[300, 300, 300, 300], [600, 35, 600, 0]]
    each: list[list[tuple[int, float]]] = [[], [], [], []]
    known: tuple[tuple[tuple[int, float], ...], ...] = ((), (), (), ())
    for first, counts in zip((0, 300), lengths, strict=True):
        for row, count in enumerate(counts):
            for step in range(first, first + count):
                keep(each[row], step, float(values[step, row]))
        known = kept(known, first, counts, values[first : first + 600])
    assert [list(row) for row in known] == each


@pytest.mark.parametrize("at_once", [1, 8 * 32 * 3])
def test_however_many_minibatches_are_laid_out_at_once_they_are_the_seeds(monkeypatch, at_once) -> None:
    workload, seeds = perceptron(), [3, 1, 3, 0, 2, 1, 0, 0]
    monkeypatch.setattr(batches, "AT_ONCE", at_once)
    laid = batches.Batches(workload, seeds, 5, 12)
    for step in range(5, 12):
        wanted = torch.cat([workload.batches(seed, step, step + 1) for seed in seeds])
        assert torch.equal(laid()[2], wanted)


def test_joined_rows_share_a_rule() -> None:
    workload = perceptron()
    with pytest.raises(ValueError, match="expected one rule"):
        Rows.joined([start(workload, rules.SGD(), [0]), start(workload, rules.Adam(), [0])])
    with pytest.raises(ValueError, match="8 rows and 7 paths"):
        advance(workload, start(workload, RULE, range(8)), paths()[:7], STEPS)
    with pytest.raises(ValueError, match="covers 24 steps; expected at least to_step=25"):
        advance(workload, start(workload, RULE, range(8)), paths(), 25)
    with pytest.raises(ValueError, match="expected the same rule"):
        advance(workload, start(workload, rules.SGD(), range(8)), paths(), STEPS)


def test_the_data_may_be_any_dataset() -> None:
    class Pairs(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return len(plain.train)

        def __getitem__(self, i: int):
            return plain.train[i]

    from dataclasses import replace

    plain = perceptron()
    other = replace(plain, train=Pairs())
    mode, table = rows_of(8), paths()
    ours = advance(other, start(other, RULE, [0, 1] * 4), table, STEPS, mode=mode)
    assert difference(ours, advance(plain, start(plain, RULE, [0, 1] * 4), table, STEPS, mode=mode)) == 0


def test_a_bias_before_batchnorm_is_no_reason_for_the_loop() -> None:
    """Its gradient is rounding, of which Adam makes whole steps; the loss does not see them."""
    from dataclasses import replace

    from torch import nn

    from tapered.training.probe import Probe

    def model() -> nn.Module:
        return nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))

    workload = replace(perceptron(), model=model)
    assert Probe(workload, RULE).fault() is None


def test_without_a_compiler_rows_run_uncompiled_and_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from tapered.training import modes, probe, stack

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("no C++ compiler was found\nand more")

    monkeypatch.setattr(torch._inductor, "compile", refuse)
    monkeypatch.setattr(probe, "WIDTHS", (8,))
    stack.make.cache_clear()
    mode = modes.choose(perceptron(), RULE, rows=10**6, steps=10**6)
    assert mode.kind != "rows compiled"
    assert mode.reason.endswith("there is no C++ compiler here that torch could use for one graph")
