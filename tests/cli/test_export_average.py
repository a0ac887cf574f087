"""An exported arm that is evaluated at an average: the code keeps the same one; and what diverged is said."""

import json

import pytest
import torch
from study_cases import arm_text

from tapered.cli.main import main
from tapered.convert.average_code import averaging
from tapered.convert.code import code

STEPS = 20
TOML = (
    f"""
name = "mine"
workload = "quadratic"
steps = {STEPS}
seeds = 1
baseline = "constant"
peaks = {{ low = 0.05, high = 0.1, count = 2 }}
"""
    + arm_text("constant")
    + arm_text("ema", "cosine_decay(decay_steps=steps)")
    + 'average = { kind = "ema", decay = 0.9, start = 0.25 }\n'
    + arm_text("far", "constant(1e30)")
    + arm_text("none")
    + 'average = { kind = "none" }\n'
)
TARGETS = ("tapered", "torch", "transformers", "lightning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("averaged")
    (where / "my.toml").write_text(TOML)
    assert main(["study", str(where / "my.toml"), "--store", str(where / "s")]) == 0
    return where / "s"


def exported(folder, capsys, *words):
    capsys.readouterr()
    assert main(["export", str(folder), "--json", *words]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("to", TARGETS)
def test_the_code_keeps_the_average_that_the_runs_were_evaluated_at(folder, capsys, to):
    found = exported(folder, capsys, "--arm", "ema", "--to", to)
    assert found["average"] == {"kind": "ema", "decay": 0.9, "start": 5}
    assert found["notes"] == []
    model = torch.nn.Linear(3, 1).double()
    space = {"model": model}
    exec("\n".join(found["code"]), space)
    if to == "lightning":
        [optimizer], _ = space["configure_optimizers"](model)
        averaged = model.averaged
    else:
        optimizer, averaged = space["optimizer"], space["averaged"]
    mean = None
    for update in range(1, STEPS + 1):
        optimizer.zero_grad()
        model(torch.randn(4, 3, dtype=torch.float64)).pow(2).sum().backward()
        optimizer.step()
        weight = model.weight.detach().clone()
        if update >= 5:  # a quarter of the run; the first is a copy
            mean = weight if mean is None else 0.9 * mean + 0.1 * weight
    with averaged.readout():
        assert torch.allclose(model.weight, mean, rtol=1e-12, atol=0)


@pytest.mark.parametrize("to", ["keras", "optax"])
def test_where_no_average_of_ours_goes_it_is_said(folder, capsys, to):
    assert exported(folder, capsys, "--arm", "ema", "--to", to)["notes"] == [
        "evaluated at an average: ema (decay=0.9, start=0.25)"
    ]


@pytest.mark.parametrize("arm", ["constant", "none"])
@pytest.mark.parametrize("to", [*TARGETS, "keras", "optax"])
def test_an_arm_without_one_keeps_none(folder, capsys, to, arm):
    found = exported(folder, capsys, "--arm", arm, "--to", to)
    assert (found["average"], found["notes"]) == (None, [])
    assert "average" not in "\n".join(found["code"])


@pytest.mark.parametrize("to", TARGETS)
def test_beside_a_rule_that_follows_a_loss_it_is_kept_too(to):
    lines = averaging(code(to, "SGD", {}, {}, "0.1 * plateau(factor=0.5)"), {"kind": "swa", "start": 1})
    model = torch.nn.Linear(2, 1)
    space = {"model": model}
    exec("\n".join(lines), space)
    if to == "lightning":
        space["configure_optimizers"](model)
    averaged = model.averaged if to == "lightning" else space["averaged"]
    assert averaged.updates == 0


@pytest.mark.parametrize("to", TARGETS)
def test_statistics_are_recomputed_where_the_runs_had_them_so(to):
    given = {"kind": "lawa", "latest": 2, "every": 1, "batch_norm": "recomputed"}
    model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    space = {"model": model}
    exec("\n".join(averaging(code(to, "SGD", {}, {}, "0.1"), given)), space)
    optimizer = space["configure_optimizers"](model)[0][0] if to == "lightning" else space["optimizer"]
    batches = [torch.randn(8, 2)]
    model(batches[0]).sum().backward()
    optimizer.step()
    averaged = model.averaged if to == "lightning" else space["averaged"]
    with averaged.readout(batches):
        assert torch.allclose(model[1].running_mean, model[0](batches[0]).mean(0), atol=1e-6)


def test_an_arm_whose_runs_diverged_says_so(folder, capsys):
    assert exported(folder, capsys, "--arm", "far")["diverged"].startswith("no run of it at this peak ended well")
    assert exported(folder, capsys, "--arm", "ema")["diverged"] is None
    assert main(["export", str(folder), "--arm", "far"]) == 0
    assert "note: no run of it at this peak ended well" in capsys.readouterr().err
