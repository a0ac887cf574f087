"""A finished study from its folder: shown again, and its winner as code that trains at its rates."""

import json
import math

import pytest
import torch
from study_cases import arm_text

from tapered import parse
from tapered.cli.main import main
from tapered.convert.code import TARGETS, code

DECAY = "cosine_decay(decay_steps=steps)"
TOML = (
    """
name = "mine"
question = "Does a cosine help?"
workload = "quadratic"
steps = 40
seeds = 8
baseline = "constant"
peaks = { low = 0.05, high = 0.1, count = 2 }
"""
    + arm_text("constant")
    + arm_text("decay", DECAY)
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("shown")
    (where / "my.toml").write_text(TOML)
    assert main(["study", str(where / "my.toml"), "--store", str(where / "s")]) == 0
    return where / "s"


def test_what_was_printed_is_shown_again(folder, capsys):
    assert main(["study", str(folder.parent / "my.toml"), "--store", str(folder)]) == 0
    printed = capsys.readouterr().out
    (folder / "runs").rename(folder / "aside")  # nothing but the result is looked at
    assert main(["show", str(folder)]) == 0
    (folder / "aside").rename(folder / "runs")
    assert capsys.readouterr().out == printed
    assert main(["show", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["question"] == "Does a cosine help?"


def test_a_hyper_that_follows_the_rate_is_exported_as_a_schedule(tmp_path, capsys):
    text = TOML.replace("steps = 40", "steps = 10").replace("seeds = 8", "seeds = 1")
    (tmp_path / "my.toml").write_text(text + 'hypers = { weight_decay = "0.5 * shape" }\n')
    assert main(["study", str(tmp_path / "my.toml"), "--store", str(tmp_path / "s")]) == 0
    capsys.readouterr()
    assert main(["export", str(tmp_path / "s"), "--arm", "decay", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rate, decay = parse(found["schedule"]), parse(found["hypers"]["weight_decay"])
    assert [decay(k) for k in range(10)] == pytest.approx([0.5 * rate(k) / rate(0) for k in range(10)])


def test_what_was_changed_or_is_none_is_refused(folder, tmp_path, capsys):
    other = tmp_path / "s"
    (other / "runs").mkdir(parents=True)
    assert main(["show", str(tmp_path)]) == 3
    assert "is no study's folder" in capsys.readouterr().err
    assert main(["show", str(other)]) == 3
    assert "has no result yet" in capsys.readouterr().err
    (other / "result.json").write_text((folder / "result.json").read_text().replace("cosine", "Cosine"))
    assert main(["show", str(other)]) == 3
    assert "differs from its own SHA-256" in capsys.readouterr().err


def test_an_arm_is_exported_at_its_best_peak(folder, capsys):
    assert main(["export", str(folder), "--arm", "decay", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["schedule"] == f"{found['best_peak']} * cosine_decay(decay_steps=40)"
    assert main(["export", str(folder), "--arm", "dekay"]) == 2
    assert "the study has no arm 'dekay'; try \"decay\"" in capsys.readouterr().err


RATE = "0.02 * warmup(3) * cosine_decay(decay_steps=9)"


def rates(lines, **names):
    """The rate of each of ten updates that the code's optimizer makes."""
    model = torch.nn.Linear(3, 1)
    space = {"model": model, **names}
    exec("\n".join(lines), space)
    if "configure_optimizers" in space:
        [optimizer], _ = space["configure_optimizers"](model)
    else:
        optimizer = space["optimizer"]
    found = []
    for _ in range(10):
        model(torch.ones(3)).sum().backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        found.append(max(float((p.detach() - b).abs().max()) for p, b in zip(model.parameters(), before, strict=True)))
    return found, optimizer


@pytest.mark.parametrize("to", ["tapered", "torch", "transformers", "lightning"])
def test_the_code_trains_at_the_rates(to):
    moved, optimizer = rates(code(to, "Adam", {"decay": "decoupled"}, {"beta1": 0.0, "beta2": 0.0, "eps": 1e-12}, RATE))
    schedule = parse(RATE)  # without memory a step of Adam's is as long as its rate
    assert moved == pytest.approx([schedule(k) for k in range(10)], rel=1e-4, abs=1e-9)
    assert optimizer.param_groups[0]["weight_decay"] == 0.0
    assert tuple(map(float, optimizer.param_groups[0]["betas"])) == (0.0, 0.0)


@pytest.mark.parametrize("to", ["tapered", "torch", "transformers", "lightning"])
def test_the_code_for_an_optimizer_of_ones_own_sets_its_rates(to):
    parameter = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.SGD([parameter], lr=1.0)
    exec("\n".join(code(to, None, {}, {}, RATE)), {"optimizer": optimizer})
    made = []
    for _ in range(10):
        before, parameter.grad = float(parameter.detach()), torch.ones(1)
        optimizer.step()
        made.append(before - float(parameter.detach()))
    assert made == pytest.approx([parse(RATE)(k) for k in range(10)], rel=1e-4, abs=1e-8)


def test_the_code_of_other_rules_makes_them():
    for to, names in (
        ("torch", {"beta1": 0.8}),
        ("tapered", {"beta2": 0.95, "beta1": 0.8}),
        ("torch", {"beta2": 0.95}),
    ):
        _, optimizer = rates(code(to, "Adam", {}, names, RATE))
        betas = names.get("beta1", 0.9), names.get("beta2", 0.999)
        assert tuple(map(float, optimizer.param_groups[0]["betas"])) == betas
    _, optimizer = rates(code("torch", "SGD", {"momentum": True, "nesterov": True}, {"momentum": 0.9}, RATE))
    assert (type(optimizer).__name__, optimizer.param_groups[0]["momentum"]) == ("SGD", 0.9)
    assert optimizer.param_groups[0]["nesterov"]
    _, optimizer = rates(code("torch", "NAdam", {"decay": "decoupled"}, {"weight_decay": 0.1}, RATE))
    assert optimizer.param_groups[0]["decoupled_weight_decay"]
    for to in ("tapered", "transformers", "lightning"):
        _, optimizer = rates(code(to, "Adam", {}, {"weight_decay": "hold(9)"}, RATE))
        assert math.isclose(float(optimizer.param_groups[0]["weight_decay"]), 1.0)


@pytest.mark.parametrize("rule", ["Adam", "SGD", "Lion"])
def test_the_code_for_optax_trains_at_the_rates(rule):
    optax = pytest.importorskip("optax", reason="needs optax; try: pip install 'tapered[bench]'")
    import jax.numpy as jnp

    space = {}
    exec("\n".join(code("optax", rule, {}, {}, RATE)), space)
    optimizer, schedule = space["optimizer"], parse(RATE)
    state = optimizer.init(jnp.zeros(1))
    for k in range(10):
        update, state = optimizer.update(jnp.ones(1), state, jnp.zeros(1))
        assert float(update[0]) == pytest.approx(-schedule(k), rel=1e-3, abs=1e-7)
    assert optax


def test_the_code_for_keras_says_every_number():
    *_, last = code("keras", "Adam", {"decay": "decoupled"}, {}, "0.1 * cosine_decay(decay_steps=9)")
    assert last.endswith("AdamW(learning_rate=schedule, beta_1=0.9, beta_2=0.999, epsilon=1e-08, weight_decay=0.0)")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (("torch", "Lion", {}, {}), "torch has no optimizer for rule 'Lion'"),
        (("torch", "Adam", {"epsilon": "hat"}, {}), "epsilon = 'hat' has no counterpart in torch"),
        (("torch", "Adam", {}, {"weight_decay": "hold(9)"}), "is a schedule, which only tapered's optimizers take"),
        (("keras", "Adam", {}, {"weight_decay": 0.1}), "Adam with weight_decay = 0.1 in the gradient"),
        (("optax", "SGD", {}, {"dampening": 0.1}), "SGD with dampening = 0.1"),
        (("keras", "Adadelta", {}, {}), "keras has no counterpart of Adadelta; try --to tapered"),
    ],
)
def test_what_has_no_counterpart_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        code(*given, RATE)


@pytest.mark.parametrize("name", ["Adam; import os", "x=print(1), eps", "", "Adam\nimport os"])
@pytest.mark.parametrize("to", TARGETS)
def test_a_forged_name_is_no_code(to: str, name: str) -> None:
    for rule, hypers in ((name, {}), ("Adam", {name: 1.0})):
        with pytest.raises(ValueError, match="as the name of a rule or hyper; expected one as Adam or beta1"):
            code(to, rule, {}, hypers, "0.1 * warmup(9)")
