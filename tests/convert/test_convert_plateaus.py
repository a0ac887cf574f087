"""Rules that follow a loss, from other frameworks: what each becomes, live ones in their state, and what is refused."""

import ast
import contextlib
import io
import json
import re
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from tapered.attach import attach
from tapered.cli.main import main
from tapered.convert import from_keras, from_timm, from_torch, from_transformers, to_keras, to_lambda, to_optax
from tapered.convert.code import code
from tapered.convert.following_code import Told
from tapered.schedules import plateau


def on(*rates: float) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], lr=0.1)


def test_what_each_becomes() -> None:
    text = 'ReduceLROnPlateau(optimizer, "max", factor=0.5, patience=3, threshold_mode="abs", cooldown=2, min_lr=1e-5)'
    made = 'plateau(0.1, factor=0.5, patience=3, threshold_mode="abs", cooldown=2, min_lr=1e-05, mode="max")'
    assert str(from_torch(text, lr=0.1).controller) == made
    many = from_torch("ReduceLROnPlateau(min_lr=[1e-3, 1e-4])", lr=[0.1, 0.2]).controllers
    assert list(map(str, many)) == ["plateau(0.1, min_lr=0.001)", "plateau(0.2, min_lr=0.0001)"]
    assert str(from_transformers("reduce_lr_on_plateau", lr=0.1, patience=2).controller) == "plateau(0.1, patience=2)"
    warned = from_transformers("greedy", lr=0.1, num_warmup_steps=9, scheduler_specific_kwargs={"smooth": True})
    assert str(warned.controller) == "greedy(0.1, smooth=True)"
    assert "passes over num_warmup_steps" in warned.notes[0]
    kept = from_timm("plateau", lr=0.1, warmup_epochs=3, patience_epochs=4, noise=0.3, plateau_mode="min")
    assert str(kept.controller) == "linear(1e-05, end=0.1, steps=3).then(plateau(0.1, patience=4))"
    head = kept.controller.in_epochs(9).head
    assert str(head) == "linear(1e-05, end=0.1, steps=3).in_epochs(9)"
    assert ["noise" in note for note in kept.notes] == [True, False]


def test_keras_says_no_rate_and_tells_a_direction_by_a_name() -> None:
    def made(**config: Any) -> Any:
        return from_keras(json.dumps({"class_name": "ReduceLROnPlateau", "config": config}))

    default = made()
    assert str(default.controller) == 'plateau(patience=9, threshold_mode="abs", eps=0.0)'
    assert len(default.notes) == 3
    assert made(monitor="val_acc").controller.mode == "max"
    assert made(mode="min", patience=0, cooldown=1).controller == plateau(patience=0, threshold_mode="abs", eps=0.0)
    for config, kind, said in (
        ({"patiance": 3}, TypeError, "did you mean patience"),
        ({"patience": 2.5}, ValueError, "whole number of epochs"),
        ({"factor": 2.0}, ValueError, "factor must be"),
    ):
        with pytest.raises(kind, match=said):
            made(**config)


def test_a_live_one_brings_rates_bounds_and_state() -> None:
    scheduler = ReduceLROnPlateau(on(0.1, 0.4), factor=0.5, patience=1, min_lr=[0.0, 0.3], cooldown=2)
    for loss in (1.0, 1.0, 1.0, 1.0):
        scheduler.step(loss)
    for source in (scheduler, scheduler.state_dict()):
        assert list(map(str, from_torch(source).controllers)) == [
            "plateau(0.05, factor=0.5, patience=1, cooldown=2).in_state(best=1.0, cooling=1)",
            "plateau(0.3, factor=0.5, patience=1, cooldown=2, min_lr=0.3).in_state(best=1.0, cooling=1)",
        ]
    optimizer = scheduler.optimizer
    clock = attach(optimizer, groups={i: {"lr": rule} for i, rule in enumerate(from_torch(scheduler).controllers)})
    clock.observe(1.0)
    clock.observe(1.0)
    clock.observe(1.0)
    assert clock.rates == (0.025, 0.3)


class PlateauLRScheduler:
    """What of timm's is looked at."""

    def __init__(self, rate: float, warmup_t: int) -> None:
        self.optimizer = on(rate)
        self.base_values = [rate]
        self.lr_scheduler = ReduceLROnPlateau(self.optimizer, mode="max", factor=0.5, patience=0)
        self.warmup_t, self.warmup_lr_init, self.restore_lr = warmup_t, 0.01, None
        self.optimizer.param_groups[0]["lr"] = 0.01 if warmup_t else rate


def test_timm_live() -> None:
    found = PlateauLRScheduler(0.1, 3)
    rule = 'plateau(0.1, factor=0.5, patience=0, mode="max")'
    assert str(from_timm(found).controller) == f"linear(0.01, end=0.1, steps=3).then({rule})"
    found.optimizer.param_groups[0]["lr"] = 0.1  # past its warmup
    for value in (1.0, 0.5):
        found.lr_scheduler.step(value)
    found.restore_lr, found.optimizer.param_groups[0]["lr"] = [0.05], 0.07  # noise stands there
    assert str(from_timm(found).controller) == 'plateau(0.05, factor=0.5, patience=0, mode="max").in_state(best=1.0)'
    found.optimizer.param_groups[0]["lr_scale"] = 0.5
    assert "multiplier=None" in from_timm(found).notes[0]


def test_there_is_no_schedule_and_no_way_back() -> None:
    found = from_torch("ReduceLROnPlateau()", lr=[0.1, 0.2])
    with pytest.raises(ValueError, match=r"take \.controller"):
        _ = found.schedule
    with pytest.raises(ValueError, match="2 groups have different ones"):
        _ = found.controller
    with pytest.raises(ValueError, match=r"take \.schedule"):
        _ = from_torch("StepLR(3)", lr=0.1).controller
    for back in (to_keras, to_optax, lambda rule: to_lambda(rule, lr=0.1)):
        for rule in (plateau(0.1), plateau(0.1).path(0)):
            with pytest.raises(TypeError, match="cannot be tabulated"):
                back(rule)


def test_what_has_no_rule() -> None:
    for act, kind, said in (
        (lambda: from_transformers(object()), TypeError, "a scheduler that follows a loss"),
        (lambda: from_transformers(LRScheduler), TypeError, "a scheduler that follows a loss"),
        (lambda: from_transformers("greedy"), ValueError, "give lr"),
        (lambda: from_torch({"patience": 3, "num_bad_epochs": 0}), ValueError, "does not say the rates"),
        (lambda: from_torch({"patience": 3, "num_bad_epochs": 0}, lr=0.1), ValueError, "has no 'factor'"),
    ):
        with pytest.raises(kind, match=said):
            act()


def test_the_command_writes_the_rule() -> None:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["convert", "torch", "ReduceLROnPlateau(factor=0.5)", "--lr", "0.1", "--json"]) == 0
    fields = json.loads(out.getvalue())
    assert fields["controllers"] == fields["converted"] == ["plateau(0.1, factor=0.5)"]
    assert fields["schedules"] == []


@pytest.mark.parametrize("cooldown", [0, 3])
def test_a_rule_goes_to_keras_and_comes_back_where_it_decides_alike(cooldown: int) -> None:
    rule = plateau(0.1, factor=0.5, patience=2, threshold=0.01, threshold_mode="abs", cooldown=cooldown, eps=0.0)
    lines = code("keras", "SGD", {}, {}, str(rule), Told("the validation accuracy", "accuracy"))
    assert "optimizer = keras.optimizers.SGD(learning_rate=0.1)" in lines
    (call,) = (line.removeprefix("callback = ") for line in lines if line.startswith("callback"))
    config = {word.arg: ast.literal_eval(word.value) for word in ast.parse(call, mode="eval").body.keywords}
    assert config.pop("monitor") == "val_accuracy"
    back = from_keras({"class_name": "ReduceLROnPlateau", "config": {"monitor": "val_accuracy", **config}})
    assert 0.1 * back.controller == rule


@pytest.mark.parametrize(
    ("to", "text", "said"),
    [
        ("keras", "plateau(0.1)", 'threshold_mode = "rel", eps = 1e-08; try --to tapered, or a study with'),
        ("keras", "warmup(5).then(plateau(threshold_mode='abs', eps=0.0))", "a warmup before it; try"),
        ("keras", "greedy(0.1)", "greedy, which it has not"),
        ("optax", "plateau(0.1)", "optax has no rule that decides as plateau"),
    ],
)
def test_what_decides_otherwise_elsewhere_is_refused(to: Any, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        code(to, "SGD", {}, {}, text)
    with pytest.raises(ValueError, match="cannot be tabulated"):
        code(to, None, {}, {}, text)
