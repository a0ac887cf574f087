"""Studies of tuning, sensitivity, recipes, decays, ladders and controls: checklists, and judges on known answers."""

import tomllib
from functools import cache
from importlib import resources
from math import isfinite, log10, nan, sin
from statistics import fmean

import numpy as np
import pytest
from study_cases import planned

from tapered.claims import averaging, beside, q08, q09, q10, q12, refined
from tapered.study import forest_of
from tapered.study.file.study import to_toml
from tapered.workloads.quadratics import curvatures

MARGINAL = q08.STUDIES
STUDIES = (
    *MARGINAL, "sensitivity", "inception-rmsprop", "both-decays", "cooldown-ladder", "schedule-free", "control-helps",
    "control-null",
)  # fmt: skip
PEAK = 0.01


def text_of(name):
    return (resources.files("tapered.study") / "studies" / f"{name}.toml").read_text()


@pytest.mark.parametrize("name", [*STUDIES, *refined.STUDIES, *averaging.PLACES])
def test_a_study_states_its_checklist(name):
    stated = tomllib.loads(text_of(name))
    assert {"seeds", "fresh", "extend", "delta", "metric", "baseline", "peaks", "evaluations"} <= stated.keys()
    assert {"question", "claim", "criterion", "known"} <= stated.keys()


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_is_planned_with_equal_budgets_and_can_claim_something(name, quick):
    loaded = planned(name, quick=quick)
    study = loaded.study
    tuned = [arm for arm in study.arms if not arm.fixed]
    assert study.seeds >= 8
    assert len(study.fresh_seeds) >= 8
    for arm in tuned:
        peaks = np.log(study.peaks_of(arm))
        assert len(peaks) == study.peaks.count >= 5
        np.testing.assert_allclose(np.diff(peaks), np.diff(peaks)[0], rtol=1e-4)
    # the least p that fresh seeds can give, corrected for all comparisons
    assert 2 / 2 ** len(study.fresh_seeds) * (len(tuned) - 1) < study.alpha
    plan = forest_of(loaded).plan
    runs = study.seeds * (len(tuned) * study.peaks.count + len(study.arms) - len(tuned))
    assert plan.asked == runs * loaded.steps
    assert plan.to_run < plan.asked


def test_wilsons_three_have_the_same_arms():
    first, *others = ([arm.model_dump() for arm in planned(name).study.arms] for name in MARGINAL)
    assert all(arms == first for arms in others)


def test_the_recipe_is_the_published_one():
    """Against the formula: 0.045 x 0.94^(whole pairs of epochs)."""
    loaded = planned("inception-rmsprop")
    arm = next(arm for arm in loaded.study.arms if arm.name == q10.WRITTEN)
    epoch = loaded.workload.steps_per_epoch
    wanted = [0.045 * 0.94 ** (step // (2 * epoch)) for step in range(loaded.steps)]
    path = arm.path(loaded.steps, None)
    np.testing.assert_allclose(path.hypers["lr"], wanted, rtol=1e-12)
    assert {name: path.hypers[name][0] for name in ("alpha", "eps", "momentum")} == {
        "alpha": 0.9, "eps": 1.0, "momentum": 0.9,
    }  # fmt: skip
    rule = path.rule
    assert (rule.epsilon, rule.start, rule.rate_in_momentum, rule.centered) == ("inside", 1.0, True, False)
    assert isinstance(rule.start, float)


# summaries with known answers


@cache
def small(name):
    return planned(name, quick=True).study


def frozen(name):
    return to_toml(small(name))


def spread(mean, seed, noise=1e-4):
    """A value whose differences between arms, and their differences, vary a little from seed to seed, as words ask."""
    return mean + noise * sin(1e4 * noise * seed)


def summary(name, fresh, chosen=None, tested=None):
    """A study's summary of arms whose means are given: on fresh seeds, on the seeds that chose, on the test split."""
    chosen, tested = {**fresh, **(chosen or {})}, tested or fresh
    metric = small(name).metric
    names = dict.fromkeys([*fresh, *chosen, *tested])
    noise = {arm: 1e-4 * (1 + i) for i, arm in enumerate(names)}
    parts = [(arm, seed, mean, seed > 7) for of, seeds in ((chosen, range(8)), (fresh, range(8, 16)))
             for arm, mean in of.items() for seed in seeds]  # fmt: skip
    return {
        "study": name,
        "file": frozen(name),
        "arms": [
            {
                "name": arm,
                "best_peak": PEAK,
                "test": {metric: [spread(tested[arm], seed, noise[arm]) for seed in range(8)]} if arm in tested else {},
            }
            for arm in names
        ],
        "every_run": [
            run(arm, PEAK, seed, spread(mean, seed, noise[arm]), fresh=new) for arm, seed, mean, new in parts
        ],
    }


def run(arm, peak, seed, value, *, fresh):
    whole = isfinite(value)
    return {
        "arm": arm, "peak": peak, "seed": seed, "fresh": fresh, "value": value if whole else None,
        "outcome": "finished" if whole else "diverged at step 3",
    }  # fmt: skip


ARMS8 = ("Adam default", "Adam", "SGD", *q08.ADAPTIVE, "SGD + decay")


def wilson(name, tuned, descent):
    """A summary in which tuned Adam with decay is better than its default, and descent than all adaptive arms, or not.

    The metric falls for `separable` and rises for the others. The seeds that chose say of descent what the fresh ones,
    which decide, do not.
    """
    sign = -1 if name.endswith("separable") else 1
    same = dict.fromkeys(ARMS8, 0.5)
    fresh, chosen = (
        same | {"SGD + decay": 0.5 + sign * (0.1 if better else -0.1)} for better in (descent, not descent)
    )
    tested = fresh | {"Adam + decay": 0.5 + sign * (0.1 if tuned else -0.1)}
    return summary(name, fresh, chosen, tested)


@pytest.mark.parametrize(
    ("tuned", "descent", "word"),
    [
        ((1, 1, 1), (1, 1, 1), "confirmed"),
        ((1, 1, 1), (1, 0, 1), "depends"),
        ((0, 0, 0), (0, 0, 1), "depends"),
        ((0, 1, 0), (0, 0, 0), "depends"),
        ((0, 0, 0), (0, 0, 0), "refuted"),
    ],
)
def test_q8(tuned, descent, word):
    parts = {name: wilson(name, a, b) for name, a, b in zip(MARGINAL, tuned, descent, strict=True)}
    found = q08.judge(parts)
    assert found.word == word
    key = "marginal-value-digits, tuned + decay over default"
    assert found.figures[key] == pytest.approx(0.1 if tuned[1] else -0.1, abs=5e-3)
    assert found.figures[f"{key}, word"] == ("helps" if tuned[1] else "hurts")
    assert found.figures["marginal-value-separable, test loss, Adam + decay"] == pytest.approx(
        0.4 if tuned[0] else 0.6, abs=5e-3
    )


@pytest.mark.parametrize(
    ("name", "chosen", "wanted"),
    [
        ("marginal-value-digits", (0.5, 0.7, 0.6), "RMSProp + decay"),
        ("marginal-value-separable", (0.5, 0.7, 0.4), "AdaGrad + decay"),
        ("marginal-value-digits", (0.5, nan, 0.4), "Adam + decay"),
        ("marginal-value-separable", (0.5, nan, 0.6), "Adam + decay"),
    ],
)
def test_the_rival_is_chosen_by_the_seeds_that_chose(name, chosen, wanted):
    # the fresh seeds say otherwise, and must not be asked
    fresh = dict(zip(q08.ADAPTIVE, (0.1, 0.2, 0.3), strict=True))
    found = summary(name, fresh, dict(zip(q08.ADAPTIVE, chosen, strict=True)))
    assert q08.best_adaptive(found) == wanted


def tent(top, slope, peak):
    return 0.9 - slope * abs(log10(peak) - top)


def sensitivity(slopes):
    """Accuracy falls in a straight line from a best at 0.01; with a slope s, 2 points are 0.04 / s decades."""
    peaks = [10 ** (-5 + i / 2) for i in range(13)]
    return {
        "file": frozen("sensitivity"),
        "every_run": [
            run(arm, peak, seed, tent(-2, slope * (1 + seed / 100), peak), fresh=False)
            for arm, slope in slopes.items()
            for peak in peaks
            for seed in range(8)
        ]
        + [run(arm, 0.01, seed, 0.9, fresh=True) for arm in slopes for seed in range(8, 16)],  # one peak has no width
    }


def slopes(adaptive, sgd, momentum):
    of = dict.fromkeys(q09.ADAPTIVE, adaptive) | {"AdaGrad": 1.25 * adaptive, "SGD": sgd, "momentum": momentum}
    return of | {name + q09.DECAY: 0.1 for name in of}


@pytest.mark.parametrize(
    ("adaptive", "sgd", "momentum", "word"),
    [(0.05, 0.1, 0.2, "confirmed"), (0.2, 0.1, 0.05, "refuted"), (0.1, 0.2, 0.05, "depends")],
)
def test_q9(adaptive, sgd, momentum, word):
    found = q09.judge({"sensitivity": sensitivity(slopes(adaptive, sgd, momentum))})
    assert found.word == word
    shrunk = fmean(1 / (1 + seed / 100) for seed in range(8))
    for points in (2, 5):
        assert found.figures[f"{points} points, SGD"] == pytest.approx(2 * points / 100 / sgd * shrunk)
        assert found.figures[f"{points} points, adaptive over momentum"] == pytest.approx(
            2 * points / 100 * ((1 + 1 + 0.8) / 3 / adaptive - 1 / momentum) * shrunk
        )


def test_a_diverged_run_ends_a_width():
    """At 0.1 accuracy would still be 0.89; diverged it is 0, so that the line falls by 0.9 in half a decade."""
    found = sensitivity({"SGD": 0.01})
    for one in found["every_run"]:
        if one["peak"] > 0.02:
            one |= {"outcome": "diverged at step 3"}
    assert q09.widths(found, 0.02)["SGD"][0] == pytest.approx(2 + 0.5 * 0.02 / 0.9)


def test_a_width_ends_where_the_curve_first_falls():
    """It rises again, and that is another optimum's: from 1.0 to 0.745, the line is at 0.75 after 0.25 / 0.255."""
    assert q09.width([(0, 0.2), (1, 1.0), (2, 0.745), (3, 1.0), (4, 1.0)], 0.25) == pytest.approx(
        0.25 / 0.255 + 0.25 / 0.8
    )


def inception(decay, constant, adam):
    fresh = {"RMSProp 0.9 x0.94": 0.9 + decay, "RMSProp 0.9": 0.9}
    fresh |= dict.fromkeys(("RMSProp", "RMSProp x0.94", *q10.ADAM), 0.9)
    tested = {"Adam": constant, "Adam x0.94": adam} | dict.fromkeys(
        ("as written", q10.WRITTEN, "SGD as written", f"SGD {q10.WRITTEN}"), 0.9
    )
    return {"inception-rmsprop": summary("inception-rmsprop", fresh, tested=tested)}


@pytest.mark.parametrize(
    ("decay", "constant", "falling", "word"),
    [
        (0.05, 0.8, 0.8, "confirmed"),
        (0.05, 0.8, 0.95, "depends"),
        (0.05, 0.95, 0.95, "depends"),
        (-0.05, 0.8, 0.95, "depends"),
        (-0.05, 0.95, 0.95, "refuted"),
    ],
)
def test_q10(decay, constant, falling, word):
    found = q10.judge(inception(decay, constant, falling))
    assert found.word == word
    assert found.figures["decay of RMSProp 0.9"] == pytest.approx(decay, abs=2e-3)
    assert found.figures["as written over Adam x0.94"] == pytest.approx(0.9 - falling, abs=5e-3)


@pytest.mark.parametrize(
    ("damped", "decayed", "both", "word"),
    [(0.6, 0.7, 0.8, "confirmed"), (0.6, 0.8, 0.7, "depends"), (0.8, 0.8, 0.6, "refuted")],
)
def test_q12(damped, decayed, both, word):
    of = {"SGD": 0.5, "SGD + decay": decayed, "Adam": damped, "Adam + decay": both, "RMSProp": 0.5,
          "RMSProp + decay": 0.5}  # fmt: skip
    found = q12.judge({"both-decays": summary("both-decays", of)})
    assert found.word == word
    assert found.figures["interaction, Adam"] == pytest.approx((both - damped) - (decayed - 0.5), abs=2e-3)
    # of a real run of 109 steps, whose rate ends at 0.01^(108/109) of its peak
    assert found.figures["step length by schedule"] == pytest.approx(0.01 ** (108 / 109))


@pytest.mark.parametrize(
    ("gains", "word"),
    [
        ((0.1, 0.1, 0.0, 0.1), "confirmed"),
        ((0.1, 0.1, 0.1, -0.1), "depends"),
        ((-0.1, -0.1, 0.0, 0.0), "depends"),
        ((-0.1, -0.1, 0.0, -0.1), "refuted"),
    ],
)
def test_the_ladder(gains, word):
    of = {f"cosine {length}": 0.5 for length in beside.LENGTHS}
    of |= {f"cooldown {length}": 0.5 + gain for length, gain in zip(beside.LENGTHS, gains, strict=True)}
    found = beside.ladder({"cooldown-ladder": summary("cooldown-ladder", of)})
    assert found.word == word
    assert found.figures["40%, word"] == ("helps" if gains[0] > 0 else "hurts")
    assert found.figures["80%, word"] == ("helps" if gains[2] > 0 else "equivalent")


def test_the_ladders_steps_are_those_of_distinct_beginnings():
    found = beside.ladder({"cooldown-ladder": summary("cooldown-ladder", dict.fromkeys(
        [f"{kind} {length}" for kind in ("cooldown", "cosine") for length in beside.LENGTHS], 0.5))})  # fmt: skip
    loaded = planned("cooldown-ladder", quick=True)
    for kind in ("cooldown", "cosine"):
        rates = [
            [arm.schedule(loaded.steps, 1.0)(step) for step in range(loaded.steps)]
            for arm in loaded.study.arms
            if arm.name.startswith(kind)
        ]
        beginnings = {tuple(rate[: i + 1]) for rate in rates for i, value in enumerate(rate) if value > 0}
        assert found.figures[f"{kind}, steps"] == len(beginnings)
    assert found.figures["ratio"] == pytest.approx(2.8 / 1.36, rel=0.02)


@pytest.mark.parametrize(
    ("gain", "word"), [(0.1, "confirmed"), (0.002, "confirmed"), (-0.1, "refuted")], ids=["better", "as good", "worse"]
)
def test_schedule_free(gain, word):
    of = {"Schedule-Free": 0.5 + gain, "cosine to zero": 0.5, "linear to zero": 0.7, "cooldown 20%": 0.2,
          "constant": 0.5}  # fmt: skip
    found = beside.schedule_free({"schedule-free": summary("schedule-free", of)})
    assert found.word == word
    assert found.figures["over linear to zero, word"] == "hurts"
    assert found.figures["over cosine to zero"] == pytest.approx(gain, abs=2e-3)


@pytest.mark.parametrize(
    ("gains", "word"),
    [((-0.3, 0), "refuted"), ((0.3, 0.3), "confirmed"), ((0, 0), "depends"), ((0.3, -0.3), "depends")],
)
def test_refined(gains, word):
    arms = {"linear": 5.0, **{arm: 5.0 - gain for arm, gain in zip(refined.ARMS, gains, strict=True)}}
    found = refined.judge({name: summary(name, arms) for name in refined.STUDIES})
    assert found.word == word
    assert found.figures["bmi, refined l2"] == pytest.approx(gains[0], abs=1e-2)


def averaged(name, decay, best):
    """The best average, which fresh seeds do not choose, over decay by `best`; decay over constant by `decay`."""
    sign = 1 if small(name).direction == "maximize" else -1
    linear = 5.0 + sign * decay
    fresh = {"constant": 5.0, "linear": linear, "cosine": 5.0, "ema": linear - sign, "swa": linear + sign * best,
             "lawa": linear + 2 * sign}  # fmt: skip
    return summary(name, fresh, {"ema": 5.0, "swa": 5.0 + sign, "lawa": 5.0 - sign})


@pytest.mark.parametrize(
    ("of", "word"),
    [
        (((1, 0.5), (1, 0), (1, 0.5)), "confirmed"),
        (((1, 0.5), (0, -0.5), (1, 0)), "confirmed"),  # where decay does not help, averaging need not
        (((1, -0.5), (1, 0.5), (1, 0)), "depends"),
        (((1, -0.5), (0, 0.5), (1, -0.5)), "refuted"),
        (((0, 0.5), (0, 0.5), (-1, 0.5)), "depends"),
    ],
)
def test_averaging(of, word):
    parts = {name: averaged(name, *each) for name, each in zip(averaging.PLACES, of, strict=True)}
    found = averaging.judge(parts)
    assert found.word == word
    assert {found.figures[f"{place}, best average"] for place in averaging.PLACES.values()} == {"swa"}
    gained = found.figures["bmi, linear over constant"], found.figures["bmi, swa over linear"]
    assert gained == pytest.approx(of[1], abs=1e-2)


@pytest.mark.parametrize("name", averaging.PLACES)
def test_averages_are_of_one_constant_rate_and_share_its_steps(name):
    loaded = planned(name)
    paths = {arm.name: arm.path(loaded.steps, 0.01) for arm in loaded.study.arms}
    for arm in ("ema", "swa", "lawa"):
        np.testing.assert_array_equal(paths[arm].hypers["lr"], paths["constant"].hypers["lr"])
    memory = 1 / (1 - loaded.study.arms[3].average.decay)
    assert memory == pytest.approx(0.1 * loaded.steps, rel=0.1)
    plan = forest_of(loaded).plan
    assert plan.asked / plan.to_run > 1.2


@pytest.mark.parametrize("quick", [True, False], ids=["quick", "full"])
@pytest.mark.parametrize("name", refined.STUDIES)
def test_refined_schedules_rise_no_higher_and_end_at_zero(name, quick):
    loaded = planned(name, quick=quick)
    rates = {arm.name: arm.schedule(loaded.steps, 1.0).table(loaded.steps) for arm in loaded.study.arms}
    assert {"linear", *refined.ARMS} <= rates.keys()
    for arm in refined.ARMS:
        assert rates[arm][0] == 0
        assert 0.1 < rates[arm].max() <= 1
        assert rates[arm][-1] < 0.06


def controlled(name, verdict):
    found = summary(name, {"constant": 5.0, "linear to zero": 4.0})
    return {name: found | {"comparisons": [{"arm": "linear to zero", "verdict": verdict}]}}


@pytest.mark.parametrize(
    ("verdict", "positive", "negative"),
    [("helps", "confirmed", "refuted"), ("no evidence", "depends", "confirmed"), ("hurts", "refuted", "confirmed")],
)
def test_controls(verdict, positive, negative):
    found = beside.helps(controlled("control-helps", verdict))
    assert (found.word, beside.null(controlled("control-null", verdict)).word) == (positive, negative)
    assert found.figures["gain"] == pytest.approx(1.0, abs=1e-2)
    assert found.figures["floor"] == pytest.approx(PEAK / 4 * curvatures(256, 10.0).sum())
