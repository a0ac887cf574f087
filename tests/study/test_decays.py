"""Arms that decay at one weight_decay, and the decay that follows the rate."""

import numpy as np
import pytest
from study_cases import arm_text, finished, read

from tapered.study.file.typed import arm_of
from tapered.training.averages import Average

HEAD = """
name = "decays"
workload = "quadratic"
steps = 40
seeds = 2
baseline = "constant"
peaks = { low = 0.05, high = 0.05, count = 1 }
"""
DECAYS = 'options = {{ decay = "decoupled" }}\nhypers = {{ weight_decay = {} }}'


def caveats(folder, first, second, rule="Adam", lr="linear(steps=steps)"):
    text = HEAD + arm_text("constant", rule=rule, more=first) + arm_text("falls", lr, rule, second)
    found = finished(read(folder, text), folder / "study")[1].caveats
    return [said for said in found if "weight_decay" in said]


def test_a_comparison_at_one_weight_decay_says_what_else_it_compares(tmp_path):
    (said,) = caveats(tmp_path, DECAYS.format(1.5), DECAYS.format(1.5))
    left = [np.prod(1 - 0.05 * 1.5 * shape) for shape in (np.ones(40), 1 - np.arange(40) / 40)]
    assert f"{left[0]:.2g} (constant) to {left[1]:.2g} (falls) is left" in said
    assert 'weight_decay = "1.5 * shape"' in said


@pytest.mark.parametrize(
    ("first", "second", "rule", "lr"),
    [
        (DECAYS.format(1.5), DECAYS.format(0.5), "Adam", "linear(steps=steps)"),
        (DECAYS.format(0.0), DECAYS.format(0.0), "Adam", "linear(steps=steps)"),
        (DECAYS.format(1.5), DECAYS.format('"1.5 * shape"'), "Adam", "linear(steps=steps)"),
        (DECAYS.format(1.5), DECAYS.format(1.5), "Adam", "constant(1.0)"),
        ("hypers = { weight_decay = 0.1 }", "hypers = { weight_decay = 0.1 }", "Adam", "linear(steps=steps)"),
        ("", "", "SGD", "linear(steps=steps)"),
    ],
    ids=["others", "none", "follows", "one rate", "l2", "no decay"],
)
def test_elsewhere_it_does_not(tmp_path, first, second, rule, lr):
    assert caveats(tmp_path, first, second, rule, lr) == []


def test_lion_decays_too(tmp_path):
    same = "hypers = { weight_decay = 0.5 }"
    assert len(caveats(tmp_path, same, same, "Lion")) == 1


@pytest.mark.parametrize("peak", [None, 3e-3])
@pytest.mark.parametrize("average", [None, {"kind": "swa", "start": 2}])
def test_a_decay_that_follows_the_rate(peak, average):
    """Defazio's: wd lr_k / max lr, whatever multiplies the rate."""
    lr = "0.7 * warmup(10) * cosine_decay(decay_steps=steps)"
    arm = arm_of("Adam", lr, {"decay": "decoupled"}, {"weight_decay": "0.1 * shape"}, average)
    found = arm.path(60, peak).hypers
    np.testing.assert_allclose(found["weight_decay"], 0.1 * found["lr"] / found["lr"].max(), rtol=1e-14)
    assert average is None or isinstance(arm.averaged, Average)


@pytest.mark.parametrize(
    ("lr", "decay", "message"),
    [
        ("0.0", "0.1 * shape", "lr is nowhere above 0"),
        ("1e-3", "shape / 2", "only finite numbers can be computed with"),
        ("1e-3", "cooldown(shape)", "must be a whole number of steps"),
        ("shape", "0.1", "names, numbers, steps"),
    ],
)
def test_what_the_word_cannot_stand_for_is_refused(lr, decay, message):
    with pytest.raises(ValueError, match=message):
        arm_of("Adam", lr, {"decay": "decoupled"}, {"weight_decay": decay}).path(10, None)


def test_the_word_and_the_argument_of_its_name_stand_beside_each_other():
    text = "0.1 * shape * hold(5).then(cooldown(5, shape = '1-sqrt'))"
    found = arm_of("Adam", "linear(1e-3, steps=10)", {"decay": "decoupled"}, {"weight_decay": text}).path(10, None)
    other = "hold(5).then(cooldown(5, shape='1-sqrt'))"
    plain = arm_of("Adam", other, {}, {}).path(10, None).hypers["lr"]
    np.testing.assert_allclose(found.hypers["weight_decay"], 0.1 * (1 - np.arange(10) / 10) * plain)
