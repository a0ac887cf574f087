"""Rules that follow a loss, against torch's, Keras's and Transformers' own, step by step; and what they refuse."""

import copy
import itertools
import math
import pickle
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim.lr_scheduler import ReduceLROnPlateau

from tapered.schedules import constant, cosine_decay, followed, from_function, greedy, hold, parse, plateau, warmup
from tapered.schedules.controllers import Controller, steered
from tapered.schedules.observed import observed

SEQUENCES, LENGTH = 1000, 25


def losses(draw: np.random.Generator) -> list[float]:
    """On a coarse grid, so that ties are common: falling, flat or wild, of both signs, some of them no number."""
    level = draw.choice([1.0, -1.0, 0.0]) + draw.choice([0.0, -0.05]) * np.arange(LENGTH)
    values = np.round(level + draw.choice([0.0, 0.1, 1.0]) * draw.standard_normal(LENGTH), 2)
    odd = draw.random(LENGTH) < draw.choice([0.0, 0.1])
    return [float(v) for v in np.where(odd, draw.choice([math.nan, math.inf, -math.inf, 1e300], LENGTH), values)]


def shared(draw: np.random.Generator) -> dict[str, Any]:
    mode = str(draw.choice(["rel", "abs"]))
    return {
        "mode": str(draw.choice(["min", "max"])),
        "threshold_mode": mode,
        "threshold": float(draw.choice([0.0, 1e-4, 0.1, -0.1])),
        "patience": int(draw.integers(0, 4)),
        "cooldown": int(draw.integers(0, 4)),
        "eps": float(draw.choice([0.0, 1e-8, 0.01, 0.05])),  # the last one is the first change of some
    }


def paths(rule: Controller, rates: tuple[float, ...]) -> dict[int, steered]:
    return {index: (rate * rule).path(index) for index, rate in enumerate(rates)}


def follow(found: dict[int, steered], values: list[float], *, killed: bool) -> Iterator[list[float]]:
    """The rates after each value; where it is killed, all that is left of the rule at each step is its text."""
    for step, value in enumerate(values, 1):
        found = observed(found, value, step)
        if killed:
            found = {index: followed(str(path)) for index, path in found.items()}
        yield [path(step) for path in found.values()]


def on_groups(rates: tuple[float, ...]) -> torch.optim.Optimizer:
    return torch.optim.SGD([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates])


def theirs(scheduler: Any, values: list[float]) -> Iterator[list[float]]:
    for value in values:
        scheduler.step(value)
        yield [group["lr"] for group in scheduler.optimizer.param_groups]


def compare(one: Callable[[np.random.Generator], tuple[Iterator[list[float]], Iterator[list[float]]]]) -> int:
    """Equal at every step of every sequence; how many rates were other than the one before."""
    moved = 0
    for seed in range(SEQUENCES):
        ours, others = (list(rates) for rates in one(np.random.default_rng(seed)))
        assert ours == others, seed
        moved += sum(a != b for a, b in itertools.pairwise(ours))
    return moved


def test_plateau_is_torchs() -> None:
    def one(draw: np.random.Generator) -> tuple[Iterator[list[float]], Iterator[list[float]]]:
        rates = (0.1, 0.7)[: int(draw.integers(1, 3))]
        floors = [float(draw.choice([0.0, 0.01, 0.3, 0.5])) for _ in rates]
        given = shared(draw) | {"factor": float(draw.choice([0.0, 0.1, 0.5, 0.9])), "min_lr": floors}
        values = losses(draw)
        ours = follow(paths(plateau(**given), rates), values, killed=draw.random() < 0.1)
        return ours, theirs(ReduceLROnPlateau(on_groups(rates), **given), values)

    assert compare(one) > SEQUENCES


def keras(given: dict[str, Any], rate: float, values: list[float]) -> Iterator[list[float]]:
    """Keras 3's callback in plain numpy, from its documentation and behaviour; the rate in float64."""
    low = given["mode"] == "min"
    best, wait, cooling = (math.inf if low else -math.inf), 0, 0
    for value in values:
        if cooling > 0:
            cooling, wait = cooling - 1, 0
        delta = -given["min_delta"] if low else given["min_delta"]
        if bool(np.less(value, best + delta) if low else np.greater(value, best + delta)):
            best, wait = value, 0
        elif cooling == 0:
            wait += 1
            if wait >= given["patience"] and rate > given["min_lr"]:
                rate = max(rate * given["factor"], given["min_lr"])
                cooling, wait = given["cooldown"], 0
        yield [rate]


def test_plateau_is_kerass_as_the_conversion_says_it() -> None:
    from tapered.convert import from_keras

    def one(draw: np.random.Generator) -> tuple[Iterator[list[float]], Iterator[list[float]]]:
        drawn = shared(draw)
        given = {key: drawn[key] for key in ("mode", "patience", "cooldown")}
        given |= {"min_delta": abs(drawn["threshold"]), "factor": 0.5, "min_lr": float(draw.choice([0.0, 0.03, 0.2]))}
        values = losses(draw)
        rule = from_keras({"class_name": "ReduceLROnPlateau", "config": {"monitor": "x", **given}}).controller
        return follow(paths(rule, (0.1,)), values, killed=draw.random() < 0.1), keras(given, 0.1, values)

    assert compare(one) > SEQUENCES


def test_greedy_is_transformers() -> None:
    optimization = pytest.importorskip("transformers.optimization")

    def one(draw: np.random.Generator) -> tuple[Iterator[list[float]], Iterator[list[float]]]:
        rates = (0.1, 0.7)[: int(draw.integers(1, 3))]
        given = shared(draw) | {
            "factor": float(draw.choice([0.1, 0.5, 0.95])),
            "min_lr": [float(draw.choice([0.0, 0.05, 0.5])) for _ in rates],
            "max_lr": [float(draw.choice([0.2, 1.0, 100.0])) for _ in rates],
            "warmup": int(draw.integers(0, 3)),
            "smooth": bool(draw.random() < 0.3),
            "window_size": int(draw.integers(1, 5)),
            "reset_start": int(draw.integers(0, 4)),
        }
        values = losses(draw)
        if given["smooth"]:
            values = [value if math.isfinite(value) else 0.0 for value in values]
        ours = follow(paths(greedy(**given), rates), values, killed=draw.random() < 0.1)
        return ours, theirs(optimization.GreedyLR(on_groups(rates), **given), values)

    assert compare(one) > SEQUENCES


def test_a_live_one_goes_on_where_it_stands() -> None:
    from tapered.convert import from_torch, from_transformers

    optimization = pytest.importorskip("transformers.optimization")
    for seed in range(60):
        draw = np.random.default_rng(seed)
        given, values, at = shared(draw) | {"min_lr": [0.05, 0.2]}, losses(draw), int(draw.integers(0, LENGTH))
        more = {"smooth": True, "window_size": 3, "reset_start": 2}
        finite = [value if math.isfinite(value) else 0.0 for value in values]
        for scheduler, told, convert in (
            (ReduceLROnPlateau(on_groups((0.1, 0.7)), factor=0.5, **given), values, from_torch),
            (optimization.GreedyLR(on_groups((0.1, 0.7)), factor=0.5, **given, **more), finite, from_transformers),
        ):
            list(theirs(scheduler, told[:at]))
            for source in (scheduler, scheduler.state_dict()):
                if at == 0 and isinstance(source, dict):
                    continue
                found = {index: rule.path(index) for index, rule in enumerate(convert(source).controllers)}
                other = copy.deepcopy(scheduler)
                assert list(follow(found, told[at:], killed=True)) == list(theirs(other, told[at:]))


def test_text_and_copies() -> None:
    rule = 3e-4 * warmup(200).then(plateau(factor=0.5, mode="max", min_lr=[1e-5, 0.0]))
    told = observed({0: rule.path(0)}, -math.inf, 300)[0]
    for path in (told, observed({0: told}, -1e300, 301)[0], observed({0: told}, math.inf, 301)[0]):
        assert followed(str(path)) == path == pickle.loads(pickle.dumps(path)) == copy.deepcopy(path)
        assert hash(followed(str(path))) == hash(path)
    assert str(rule) == '(0.0003 * warmup(200)).then(plateau(0.0003, factor=0.5, min_lr=(1e-05, 0.0), mode="max"))'
    assert followed(str(rule.path(1))).controller.min_lr == 0.0


def test_the_head_is_the_schedule_and_its_values_are_passed_over() -> None:
    path = (0.1 * warmup(4).then(plateau(factor=0.5, patience=0))).path(0)
    assert [path(k) for k in range(6)] == [(0.1 * warmup(4))(k) for k in range(6)]
    for step in range(1, 5):
        path = observed({0: path}, 100.0 - step, step)[0]
    assert path.controller.state.best is None  # as timm passes over its warmup's
    for step in (5, 6):
        path = observed({0: path}, 100.0, step)[0]
    assert [path(k) for k in (2, 4, 5, 6)] == [0.05, 0.1, 0.1, 0.05]


@pytest.mark.parametrize("value", [None, "1.0", True, 1j, [1.0], torch.ones(2), np.ones(3), torch.tensor(True)])
def test_what_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="expected one number"):
        observed({0: plateau(0.1).path(0)}, value, 1)


@pytest.mark.parametrize(
    "value", [1, 1.0, np.float32(1), np.int64(1), np.ones(1), torch.ones(()), torch.ones(1, requires_grad=True),
              torch.ones((), dtype=torch.bfloat16)],
)  # fmt: skip
def test_what_holds_a_number_is_told(value: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert observed({0: plateau(0.1).path(0)}, value, 1)[0].controller.state.best == 1.0


@pytest.mark.parametrize(
    ("make", "kind", "said"),
    [
        (lambda: plateau(factor=1.0), ValueError, "factor must be a number from 0 to below 1"),
        (lambda: greedy(factor=0.0), ValueError, "factor must be a number above 0 and below 1"),
        (lambda: plateau(patience=-1), ValueError, "patience must be a whole number from 0 up"),
        (lambda: plateau(threshold=math.nan), ValueError, "threshold must be a finite number"),
        (lambda: plateau(threshold=1.0), ValueError, "threshold must be a number below 1"),
        (lambda: plateau(threshold=-1.0, mode="max"), ValueError, "threshold must be a number above -1"),
        (lambda: plateau(mode="auto"), ValueError, 'one of "min", "max"'),
        (lambda: plateau(min_lr=[]), TypeError, "one for each group"),
        (lambda: plateau(min_lr=[0.1, -1.0]), ValueError, "one for each group"),
        (lambda: plateau(min_lr=[0.1, 0.2]).path(2), ValueError, "group 2 too"),
        (lambda: plateau().table(10), TypeError, "cannot be tabulated"),
        (lambda: plateau()(10), TypeError, "cannot be tabulated"),
        (lambda: plateau().path(0).table(10), TypeError, "cannot be tabulated"),
        (lambda: plateau().horizon, AttributeError, "cannot be tabulated"),
        (lambda: plateau().then(hold(3)), AttributeError, "cannot be tabulated"),
        (lambda: parse("warmup(3).then(plateau())"), ValueError, "cannot be tabulated"),
        (lambda: cosine_decay(decay_steps=3) * plateau(), TypeError, "cannot be tabulated"),
        (lambda: plateau() * cosine_decay(decay_steps=3), TypeError, "cannot be tabulated"),
        (lambda: warmup(3) + plateau(), TypeError, "cannot be tabulated"),
        (lambda: warmup(3) + plateau().path(0), TypeError, "must be a schedule"),
        (lambda: hold(3).then(plateau().path(0)), TypeError, "must be a schedule"),
        (lambda: plateau().path(0).clamp(0.1), TypeError, "must be a schedule"),
        (lambda: plateau().path(0).to_dict(), TypeError, "carries no state"),
        (lambda: -1.0 * plateau(), ValueError, "finite number from 0 up"),
        (lambda: constant(1.0).then(plateau()), ValueError, "never ends"),
        (lambda: from_function(float).until(3).then(plateau()), ValueError, "a function is none"),
        (lambda: warmup(3).then(plateau().in_state(bad=1)), ValueError, "has begun"),
        (lambda: plateau().in_state(bad=-1), ValueError, "bad must be"),
        (lambda: plateau().in_state(best=math.nan), ValueError, "best must be"),
        (lambda: plateau().in_state(since=3), ValueError, "expected both or neither"),
        (lambda: followed("plateau(0.1).in_state(worst=1)"), ValueError, "worst"),
        (lambda: observed({}, 1.0, 1), ValueError, "nothing here follows one"),
        (lambda: observed({0: greedy(smooth=True).path(0)}, math.nan, 1), ValueError, "smooth=False"),
    ],
)  # fmt: skip
def test_refusals(make: Callable[[], Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        make()
