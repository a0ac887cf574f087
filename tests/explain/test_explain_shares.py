"""What decoupled decay leaves, in an explanation."""

import json

import numpy as np
import pytest

from tapered import rules
from tapered.cli.main import main
from tapered.explain import explain_run, fields, paragraph
from tapered.schedules import linear
from tapered.training.advance import advance
from tapered.training.rows import start, tabulate
from tapered.training.workload import quadratic

DECOUPLED = rules.Adam(decay="decoupled")


def test_where_decay_is_decoupled_it_is_said_what_is_left():
    path = tabulate(DECOUPLED, 40, lr=0.1 * linear(steps=40), weight_decay=0.5)
    found = explain_run(quadratic(), path)
    left = np.prod(1 - path.hypers["lr"] * 0.5)
    assert found.shares.start == pytest.approx(left)
    assert f"After 40 steps weight decay leaves {left:.3g} of the first weights" in paragraph(found)
    assert fields(found)["shares"]["start"] == pytest.approx(left)


def test_from_a_checkpoint_on_it_is_of_the_steps_that_are_left():
    path = tabulate(rules.Lion(), 40, lr=0.01 * linear(steps=40), weight_decay=0.5)
    row = advance(quadratic(), start(quadratic(), path.rule, [0]), [path], 30)
    assert explain_run(quadratic(), path, row=row).shares.start == pytest.approx(
        np.prod(1 - path.hypers["lr"][30:] * 0.5)
    )


@pytest.mark.parametrize(
    ("rule", "hypers"),
    [
        (rules.Adam(), {"weight_decay": 0.5}),
        (DECOUPLED, {}),
        (rules.SGD(), {"weight_decay": 0.5}),
        (rules.Adagrad(), {}),
    ],
    ids=["l2", "none", "sgd", "adagrad"],
)
def test_elsewhere_nothing_is_said(rule, hypers):
    found = explain_run(quadratic(), tabulate(rule, 10, lr=0.1, **hypers))
    assert found.shares is None
    assert fields(found)["shares"] is None
    assert "of the first weights" not in paragraph(found)


def test_the_command_says_it_too(capsys):
    words = ["--choice", "decay=decoupled", "--hyper", "weight_decay=0.5 * shape", "--lr", "linear(0.1, steps=steps)"]
    assert main(["explain", "quadratic", "--steps", "20", *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    shape = 1 - np.arange(20) / 20
    assert found["shares"]["start"] == pytest.approx(np.prod(1 - 0.1 * shape * 0.5 * shape))
