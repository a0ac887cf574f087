"""Short names: what each stands for, over the whole run."""

import math

import pytest

from tapered import parse
from tapered.cli.main import main
from tapered.schedules.short import SHORT

# the rate after each share of 1,000 steps, from the closed forms
EXPECTED = {
    "constant": lambda _: 1.0,
    "linear": lambda x: 1 - x,
    "cosine": lambda x: (1 + math.cos(math.pi * x)) / 2,
    "exponential": lambda x: 0.01**x,
    "polynomial": lambda x: (1 - x) ** 2,
    "inverse_sqrt": lambda x: math.sqrt(0.05 / x) if x >= 0.05 else x / 0.05,
    "rex": lambda x: (1 - x) / (1 - x / 2),
    "wsd": lambda x: 1.0 if x <= 0.8 else 1 - math.sqrt((x - 0.8) / 0.2),
}


@pytest.mark.parametrize("name", sorted(SHORT.keys() - {"plateau"}))
def test_each_spans_the_run(name):
    found = parse(name, {"steps": 1000})
    assert parse(f"0.5 * {name}", {"steps": 1000})(300) == pytest.approx(0.5 * found(300))
    for step in (0, 1, 300, 500, 800, 900, 999) if name in EXPECTED else ():
        assert found(step) == pytest.approx(EXPECTED[name](step / 1000), abs=1e-12), step


def test_one_cycle_is_torchs():
    import torch

    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=1.0, total_steps=100)
    found = parse("one_cycle", {"steps": 100})
    for step in range(100):
        assert found(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < 99:
            theirs.step()


def test_without_a_number_of_steps_it_is_said_what_is_missing(capsys):
    with pytest.raises(
        ValueError, match=r"short for cosine_decay\(decay_steps=steps\), and nothing says how many steps"
    ):
        parse("cosine")
    assert parse("constant")(7) == 1.0
    assert main(["schedule", "2 * cosine", "--steps", "400"]) == 0
    assert capsys.readouterr().out.startswith("2 * cosine is 2.0 * cosine_decay(decay_steps=400)")
