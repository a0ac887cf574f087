"""What is measured beside the question's own claims: two newer answers to it, and the controls of the verdicts."""

from collections.abc import Mapping

import numpy as np

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.base import Word as Found
from tapered.claims.reading import arm, comparison, gain, study_of, told, values, word
from tapered.stats import Paired
from tapered.study.plan.prefixes import Plan, share
from tapered.study.summary import number
from tapered.workloads.find import workload_of
from tapered.workloads.quadratics import adam_floor

LENGTHS = ("40%", "60%", "80%", "100%")


def ladder(found: Mapping[str, Summary]) -> Answer:
    """Whether cooldowns forked from one trunk are as good as a cosine for each length, for fewer steps.

    At each length the cooldown against the cosine, both tuned, on fresh seeds. Confirmed where at no length it "hurts"
    and at most of them (3 of 4) it "helps" or is "equivalent", refuted where it "hurts" at most, else it depends. Steps
    are counted from the rates as applied, those of rate 0 left out.
    """
    study = found["cooldown-ladder"]
    by = {length: gain(study, f"cooldown {length}", f"cosine {length}", fresh=True) for length in LENGTHS}
    words = {length: word(study, result) for length, result in by.items()}
    good, bad = (sum(said in of for said in words.values()) for of in (("helps", "equivalent"), ("hurts",)))
    peaks = {arm(study, f"cooldown {length}")["best_peak"] for length in LENGTHS}
    plans = {name: _steps(study, name) for name in ("cooldown", "cosine")}
    ratio = plans["cosine"].to_run / plans["cooldown"].to_run
    most = len(LENGTHS) // 2 + 1
    return Answer(
        "confirmed" if good >= most and not bad else "refuted" if bad >= most else "depends",
        "; ".join(f"at {length} {words[length]}, {told(result)}" for length, result in by.items())
        + f"; a peak's four lengths take {plans['cooldown'].to_run:,} steps from one trunk and "
        f"{plans['cosine'].to_run:,} as cosines, {ratio:.2f} times as many; "
        f"the cooldowns' best peaks are {', '.join(map(number, sorted(peaks)))}",
        {
            **{f"{length}, gain": _mean(result) for length, result in by.items()},
            **{f"{length}, word": said for length, said in words.items()},
            **{f"{name}, steps": plan.to_run for name, plan in plans.items()},
            "steps_asked": plans["cooldown"].asked,
            "ratio": ratio,
            "best_peaks": len(peaks),
        },
    )


def _steps(found: Summary, kind: str) -> Plan:
    """The plan of one peak's and seed's runs of a kind at all lengths, each up to where its rate is 0 for good."""
    study = study_of(found)
    workload = workload_of(study.workload, study.workload_options)[0]
    steps = study.steps or workload.epochs_to_steps(study.epochs or 0)
    rates = [one.path(steps, 1.0).hypers["lr"] for one in study.arms if one.name.startswith(kind)]
    return share([{"lr": rate[: np.flatnonzero(rate)[-1] + 1]} for rate in rates], ["one peak and seed"] * len(rates))


def schedule_free(found: Mapping[str, Summary]) -> Answer:
    """Whether Schedule-Free AdamW is as good as tuned schedules.

    Against "cosine to zero", paired on fresh seeds: confirmed where it "helps" or is "equivalent", refuted where it
    "hurts", else it depends. Against the others it is told beside.
    """
    study = found["schedule-free"]
    others = ("cosine to zero", "linear to zero", "cooldown 20%", "constant")
    by = {other: gain(study, "Schedule-Free", other, fresh=True) for other in others}
    words = {other: word(study, result) for other, result in by.items()}
    said: dict[str, Found] = {"helps": "confirmed", "equivalent": "confirmed", "hurts": "refuted"}
    return Answer(
        said.get(words["cosine to zero"], "depends"),
        "; ".join(f"over {other}: {words[other]}, {told(result)}" for other, result in by.items()),
        {f"over {other}": _mean(result) for other, result in by.items()}
        | {f"over {other}, word": said for other, said in words.items()}
        | {f"best peak, {other}": arm(study, other)["best_peak"] for other in ("Schedule-Free", *others)},
    )


def helps(found: Mapping[str, Summary]) -> Answer:
    """The positive control: on a noisy quadratic a rate that falls to zero must help Adam.

    Confirmed where it is "helps" on fresh seeds, refuted where it "hurts", else it depends. Adam's floor at the
    constant's best peak, known to first order in the rate, is told beside.
    """
    study = found["control-helps"]
    said, result = comparison(study, "linear to zero"), gain(study, "linear to zero", "constant", fresh=True)
    options = study_of(study).workload_options
    peak = float(arm(study, "constant")["best_peak"])
    floor = adam_floor(peak, dimensions=int(options["dimensions"]), condition=float(options["condition"]))
    means = {name: float(np.mean(list(values(study, name, fresh=True).values()))) for name in ("constant", said["arm"])}
    words: dict[str, Found] = {"helps": "confirmed", "hurts": "refuted"}
    return Answer(
        words.get(said["verdict"], "depends"),
        f"{said['verdict']}, lower by {told(result)}; a constant {number(peak)} ends at {number(means['constant'])}, "
        f"where its floor is about {number(floor)}, and the falling rate at {number(means['linear to zero'])}",
        {"verdict": said["verdict"], "gain": _mean(result), "floor": floor, **means},
    )


def null(found: Mapping[str, Summary]) -> Answer:
    """The negative control: without noise, up to 1/L, decay must not help gradient descent.

    Confirmed where it is not "helps" on fresh seeds, refuted where it is.
    """
    study = found["control-null"]
    said, result = comparison(study, "linear to zero"), gain(study, "linear to zero", "constant", fresh=True)
    return Answer(
        "refuted" if said["verdict"] == "helps" else "confirmed",
        f"{said['verdict']}, lower by {told(result)}",
        {"verdict": said["verdict"], "gain": _mean(result)},
    )


def _mean(result: Paired) -> float | str:
    return "-" if result.mean is None else result.mean


BESIDE = (
    Claim(
        "ladder",
        "One trunk with a cooldown for each length is as good as a cosine for each, in fewer steps (Haegele et al.).",
        ("cooldown-ladder",),
        ladder,
    ),
    Claim(
        "schedule-free",
        "Schedule-Free AdamW is as good as a tuned schedule, without one (Defazio et al.).",
        ("schedule-free",),
        schedule_free,
    ),
    Claim("control +", "Control: where gradients are noisy, decay helps Adam.", ("control-helps",), helps),
    Claim("control 0", "Control: without noise and up to 1/L, decay does not help.", ("control-null",), null),
)
