"""The workloads of examples/workloads, each in the mode that it says, against an ordinary PyTorch loop."""

import re
from pathlib import Path

import pytest
import torch
from study_cases import planned
from torch.utils.data import default_collate

from tapered.draws import generator_seed
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.modes import choose
from tapered.training.rows import Rows, start

EXAMPLES = Path(__file__).parents[2] / "examples" / "workloads"
STACKED = r"^125 us a step of a row stacked, 1 ms alone; too short to be worth compiling$"
MODES = {
    "plain": ("rows", STACKED),
    "batchnorm": ("rows", STACKED),
    "tied": ("rows", STACKED),
    "dropout": ("loop", r"^the model draws random numbers, as dropout does, and stacked they would not follow"),
    "branching": ("loop", r"^the model branches on its data, and rows may branch differently$"),
}
COMPILED = [name for name, (kind, _) in MODES.items() if kind == "rows"]
SEEDS = [0, 1, 2, 0, 1, 2]
TOLERANCE = {"rows": 2e-5, "rows compiled": 2e-5, "loop": 1e-5}  # of float32 numbers of about 1, after all steps


class Example:
    """A workload, its mode, and six rows: three seeds with a constant rate, three with a cooldown."""

    def __init__(self, name, compiled=False):  # noqa: FBT002 - the fixture's pair
        loaded = planned(str(EXAMPLES / f"{name}.toml"))
        self.workload, self.steps = loaded.workload, loaded.steps
        self.rule = loaded.study.arms[0].build()
        self.paths = [arm.path(self.steps, 1e-2) for arm in loaded.study.arms for _ in range(3)]
        with pytest.MonkeyPatch.context() as patch:
            # whether stacking is right is what is tested here, not how busy this machine is
            patch.setattr("tapered.training.probe.Probe.seconds", lambda self, mode, rows: 1e-3 / mode.width)  # noqa: ARG005
            chosen = choose(self.workload, self.rule, len(SEEDS), self.steps)
        self.mode = Mode("rows compiled", 8, "asked for by the test") if compiled else chosen
        self.rows = self.advance(start(self.workload, self.rule, SEEDS), self.paths)

    def advance(self, rows, paths, to_step=None):
        return advance(self.workload, rows, paths, to_step or self.steps, mode=self.mode)


EVERY = [(name, False) for name in MODES] + [(name, True) for name in COMPILED]


@pytest.fixture(scope="module", params=EVERY, ids=lambda made: f"{made[0]}{', compiled' if made[1] else ''}")
def example(request):
    return request.param[0], Example(*request.param)


def by_hand(workload, seed, rates):
    """Model and optimizer as anyone trains them; data, weights and dropout as the workload has them."""
    model = workload.build(seed).train()
    optimizer = torch.optim.Adam(model.parameters())
    for step, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        torch.manual_seed(generator_seed(seed, "step", step))
        inputs, targets = default_collate([workload.train[i] for i in workload.batch(seed, step).tolist()])
        optimizer.zero_grad()
        workload.loss(model(inputs), targets).backward()
        optimizer.step()
    return model, optimizer


def tensors(rows: Rows):
    yield from rows.params.values()
    yield from rows.buffers.values()
    yield from (tensor for state in rows.state.values() for tensor in state.values())
    yield from rows.counts.values()


def same_bits(a: Rows, b: Rows) -> bool:
    return all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_the_mode_is_as_said_for_the_reason_said(example):
    name, made = example
    if made.mode.kind == "rows compiled":
        pytest.skip("the mode was asked for")
    kind, reason = MODES[name]
    assert made.mode.kind == kind
    assert re.search(reason, made.mode.reason)
    assert made.mode.width == 1 if kind == "loop" else made.mode.width % 8 == 0


@pytest.mark.parametrize("row", [0, 1, 5])
def test_every_row_is_what_a_plain_loop_gives(example, row):
    _, made = example
    model, optimizer = by_hand(made.workload, SEEDS[row], made.paths[row].hypers["lr"].tolist())
    close = {"rtol": 0.0, "atol": TOLERANCE[made.mode.kind]}
    assert set(made.rows.params) == {name for name, _ in model.named_parameters()}
    for name, p in model.named_parameters():
        torch.testing.assert_close(made.rows.params[name][row], p.detach(), **close)
        torch.testing.assert_close(made.rows.state[name]["exp_avg"][row], optimizer.state[p]["exp_avg"], **close)
        assert made.rows.counts[name][row] == optimizer.state[p]["step"]
    for name, b in model.named_buffers():
        torch.testing.assert_close(made.rows.buffers[name][row], b, **close)


def test_rows_are_evaluated_as_the_plain_model_is(example):
    _, made = example
    model, _ = by_hand(made.workload, 1, made.paths[1].hypers["lr"].tolist())
    inputs, targets = default_collate([made.workload.valid[i] for i in range(len(made.workload.valid))])
    with torch.no_grad():
        wanted = made.workload.loss(model.eval()(inputs), targets).item()
    found = evaluate(made.workload, made.rows, "valid", mode=made.mode)
    assert found[1]["loss"] == pytest.approx(wanted, abs=1e-4)
    assert len({metrics["loss"] for metrics in found}) == len(SEEDS)


def test_training_teaches(example):
    _, made = example
    before = evaluate(made.workload, start(made.workload, made.rule, SEEDS), "valid", mode=made.mode)
    after = evaluate(made.workload, made.rows, "valid", mode=made.mode)
    assert all(b["loss"] < 0.9 * a["loss"] for a, b in zip(before, after, strict=True))


def test_a_forked_row_is_the_row_trained_from_scratch(example):
    """Three levels: seeds 0 and 1 to a third, forked twice each, on to two thirds, forked to rates of their own."""
    _, made = example
    third = made.steps // 3
    constant, falling = made.paths[0], made.paths[3]
    rows = made.advance(start(made.workload, made.rule, [0, 1]), [constant] * 2, third)
    rows = made.advance(rows.take([1, 0, 1]), [constant] * 3, 2 * third)
    rows = made.advance(rows.take([1, 0, 1, 2]), [constant, falling, falling, constant])
    assert rows.seeds == (0, 1, 0, 1)
    assert same_bits(rows, made.rows.take([0, 4, 3, 1]))


def test_a_row_does_not_notice_its_neighbours_or_its_place(example):
    _, made = example
    turned = made.advance(start(made.workload, made.rule, SEEDS[::-1]), made.paths[::-1])
    assert same_bits(turned.take(range(len(SEEDS))[::-1]), made.rows)
    alone = made.advance(start(made.workload, made.rule, [2]), made.paths[5:])
    assert same_bits(alone, made.rows.take([5]))


def test_tied_weights_are_one_parameter():
    made = Example("tied")
    assert "head.weight" not in made.rows.params
    model = made.workload.build(0)
    assert model.head.weight is model.embedding.weight
