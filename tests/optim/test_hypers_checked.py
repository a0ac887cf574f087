"""Rules, paths, arms and runs refuse the numbers that optimizers refuse, before anything is trained."""

import math

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from study_cases import planned

import tapered
from tapered import rules
from tapered.rules.ranges import RANGES, ranges_of
from tapered.run import setting as settings
from tapered.schedules import linear
from tapered.study.file.arms import Arm
from tapered.study.file.peaks import Peaks
from tapered.study.file.rules import RULES
from tapered.study.file.study import Prune, Study, Tune
from tapered.study.file.typed import arm_of
from tapered.training.rows import Path, tabulate
from tapered.workloads.own import StudyFileError

OPTIMIZERS = {name: getattr(tapered, name) for name in RULES}
BAD = {
    "lr": (-1e-3, math.nan, math.inf),
    "beta1": (1.0, -0.1, 2.0, math.nan),
    "beta2": (1.0, -1.0),
    "eps": (0.0, -1.0),
    "weight_decay": (-5.0, math.inf),
    "momentum": (-0.1,),
    "alpha": (1.5, -0.1),
    "rho": (1.1,),
    "lr_decay": (-1.0,),
    "momentum_decay": (-1.0,),
}
CASES = [(rule, name, value) for rule in RULES for name in ranges_of(RULES[rule]()) for value in BAD.get(name, ())]


@pytest.mark.parametrize(("rule", "name", "value"), CASES)
def test_a_rule_takes_what_its_optimizer_takes(rule, name, value):
    """The oracle is the optimizer of the same name."""
    options = {"betas": (value, 0.9) if name == "beta1" else (0.9, value)} if "beta" in name else {name: value}
    try:
        OPTIMIZERS[rule]([torch.nn.Parameter(torch.ones(1))], **{"lr": 0.1, **options})
        takes = True
    except (TypeError, ValueError):
        takes = False
    given = {"lr": 0.1, name: value}
    if takes:
        tabulate(RULES[rule](), 3, **given)
    else:
        with pytest.raises(ValueError, match=f"got {name}=.* at step 0; expected a finite number in"):
            tabulate(RULES[rule](), 3, **given)


def test_schedule_frees_beta1_is_not_0():
    with pytest.raises(ValueError, match=r"got beta1=0\.0 at step 0; expected a finite number in \(0, 1\)"):
        tabulate(rules.Restarted(rules.ScheduleFreeAdamW()), 3, lr=0.1, beta1=0.0)
    assert tabulate(rules.Adam(), 3, lr=0.0, beta1=0.0).steps == 3


@pytest.mark.parametrize(
    ("name", "schedule", "step", "value"),
    [
        ("lr", linear(1.0, -1.0, steps=10), 6, 1 - 2 * 6 / 10),
        ("beta1", linear(0.9, 1.1, steps=10), 5, 0.9 + 0.2 * 5 / 10),
    ],
)
def test_a_schedule_that_leaves_its_range_midway_is_named_with_its_step(name, schedule, step, value):
    with pytest.raises(ValueError, match=rf"at step {step}\b") as refused:
        tabulate(rules.Adam(), 12, **{"lr": 0.1, name: schedule})
    said = float(str(refused.value).split("=")[1].split(" ")[0])
    assert said == pytest.approx(value)


def test_every_value_is_looked_at():
    for place in (0, 3, 7):
        values = np.full(8, 0.1)
        values[place] = -0.1
        with pytest.raises(ValueError, match=f"at step {place}"):
            Path(rules.SGD(), {"lr": values, **{name: np.zeros(8) for name in rules.SGD().hypers}})


def test_true_is_no_number():
    with pytest.raises(TypeError, match="got True"):
        tabulate(rules.SGD(), 3, lr=True)
    for name in ("steps", "seed"):
        with pytest.raises(TypeError, match=f"got {name}=True"):
            settings.setting_of("quadratic", "SGD", "0.1", **{"steps": 3, "seed": 0, name: True})
    assert RANGES["lr"].first_outside(np.array([])) is None


STUDY = {
    "name": "s", "workload": "quadratic", "steps": 24, "seeds": 2, "evaluations": 3, "baseline": "a",
    "peaks": {"low": 0.01, "high": 0.1, "count": 2}, "arms": [{"name": "a", "rule": "SGD", "lr": "constant(1.0)"}],
}  # fmt: skip


@pytest.mark.parametrize("wrong", [True, "2", 2.5])
@pytest.mark.parametrize("field", ["steps", "seeds", "first_seed", "evaluations", "threads", "extend", "fresh"])
def test_a_study_counts_with_whole_numbers(field, wrong):
    with pytest.raises(ValidationError, match="valid integer"):
        Study.model_validate(STUDY | {field: wrong})


@pytest.mark.parametrize("wrong", [True, "0.5"])
@pytest.mark.parametrize("field", ["alpha", "delta", "epochs"])
def test_a_study_measures_with_numbers(field, wrong):
    with pytest.raises(ValidationError, match="valid number"):
        Study.model_validate(STUDY | {"steps": None} | {"epochs": 1.0} | {field: wrong})


def test_what_lies_below_is_as_strict():
    arm = {"name": "a", "rule": "SGD", "lr": "constant(1.0)"}
    for build in (
        lambda: Peaks.model_validate({"low": True, "high": 1.0, "count": 1}),
        lambda: Peaks.model_validate({"low": 0.5, "high": 1.0, "count": True}),
        lambda: Tune.model_validate({"trials": True}),
        lambda: Prune.model_validate({"rungs": ["0.5"]}),
        lambda: Arm.model_validate(arm | {"hypers": {"weight_decay": True}}),
        lambda: Arm.model_validate(arm | {"fixed": 1}),
        lambda: Arm.model_validate(arm | {"resets": [True]}),
        lambda: Arm.model_validate(arm | {"options": {"nesterov": 1}}),
        lambda: Arm.model_validate(arm | {"rule": "Adam", "options": {"decay": "l3"}}),
        lambda: Arm.model_validate(arm | {"rule": "Adagrad", "options": {"start": -1.0}}),
    ):
        with pytest.raises(ValidationError):
            build()
    assert Study.model_validate(STUDY | {"steps": 2e3}).steps == 2000  # as TOML may write it


TEXT = """
name = "s"
workload = "quadratic"
steps = 24
seeds = 2
baseline = "a"
peaks = { low = 0.01, high = 0.1, count = 2 }
[[arms]]
name = "a"
rule = "SGD"
lr = "hold(3)"
[[arms]]
name = "b"
rule = "SGD"
"""


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        ('lr = "linear(1.0, -1.0, steps=steps)"', r"arm 'b' at peak 0\.01: got lr=-.* at step 13"),
        ('lr = "constant(-1.0)"', r"arm 'b' at peak 0\.01: got lr=-0\.01 at step 0; expected .* \[0, inf\)"),
        ('lr = "hold(3)"\nhypers = { momentum = -1.0 }', r"arm 'b' .*: got momentum=-1\.0 at step 0"),
        ('lr = "hold(3)"\nhypers = { momentum = "linear(0.9, -0.9, steps=20)" }', "got momentum=.* at step 11"),
    ],
)
def test_a_study_names_arm_hyper_step_and_value(tmp_path, arm, message):
    (tmp_path / "s.toml").write_text(TEXT + arm)
    with pytest.raises(StudyFileError, match=message):
        planned(str(tmp_path / "s.toml"))


def test_a_run_that_would_climb_is_refused_before_it_starts():
    for rate in ("-1e-3", "constant(-1e-3)", "linear(1e-3, -1e-3, steps=steps)"):
        with pytest.raises(ValueError, match=r"got lr=-.*; expected a finite number in \[0, inf\)"):
            settings.setting_of("quadratic", "SGD", rate, 20, 0)
    with pytest.raises(ValueError, match="got beta1=2"):
        arm_of("Adam", "1e-3", {}, {"beta1": 2.0}).path(5, None)
