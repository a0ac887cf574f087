"""Q12: damping by past gradients and a rate that falls over time: neither, each alone, both."""

from collections.abc import Mapping
from math import exp

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import arm, gain, study_of, told, values, word
from tapered.explain import explain_run
from tapered.explain.run import looks
from tapered.stats import Paired, gains, paired
from tapered.workloads.find import workload_of

LOOKS = 16


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether one uses both: adaptive damping and exponential decay.

    For Adam, on fresh seeds, each arm tuned alike: both against damping alone, and both against decay alone. Confirmed
    where both "help", refuted where neither does, else it depends. RMSProp's two gains, the interaction, and what
    `explain` says the steps of a run with both are shortened by, are told beside.
    """
    study = found["both-decays"]
    pairs = {
        (rule, other): gain(study, f"{rule} + decay", other, fresh=True)
        for rule in ("Adam", "RMSProp")
        for other in (rule, "SGD + decay")
    }
    alone = gain(study, "SGD + decay", "SGD", fresh=True)
    crossed = {rule: interaction(study, rule) for rule in ("Adam", "RMSProp")}
    words = [word(study, pairs["Adam", other]) for other in ("Adam", "SGD + decay")]
    parts = _parts(study)
    return Answer(
        "confirmed" if words == ["helps"] * 2 else "depends" if "helps" in words else "refuted",
        f"both over damping alone: {words[0]}, {told(pairs['Adam', 'Adam'])}; over decay alone: {words[1]}, "
        f"{told(pairs['Adam', 'SGD + decay'])}; decay helps descent by {told(alone)}, so the interaction is "
        f"{told(crossed['Adam'])}; in a run with both, steps become x{parts['schedule']:.2g} long by the schedule and "
        f"x{parts['direction']:.2g} by the damped gradient",
        {
            **{f"{rule} + decay over {other}": _mean(result) for (rule, other), result in pairs.items()},
            **{f"{rule} + decay over {other}, word": word(study, result) for (rule, other), result in pairs.items()},
            "SGD + decay over SGD": _mean(alone),
            **{f"interaction, {rule}": _mean(result) for rule, result in crossed.items()},
            **{f"interaction, {rule}, low": _end(result, 0) for rule, result in crossed.items()},
            **{f"interaction, {rule}, high": _end(result, 1) for rule, result in crossed.items()},
            **{f"step length by {name}": value for name, value in parts.items()},
        },
    )


def interaction(found: Summary, rule: str) -> Paired:
    """What decay gains with damping more than without it, seed by seed: below 0 the two do part of the same work."""
    direction = study_of(found).direction

    def by_decay(name: str) -> dict[int, float]:
        ours, theirs = (values(found, arm_, fresh=True) for arm_ in (f"{name} + decay", name))
        seeds = sorted(ours.keys() & theirs.keys())
        return dict(zip(seeds, gains([ours[s] for s in seeds], [theirs[s] for s in seeds], direction), strict=True))

    damped, plain = by_decay(rule), by_decay("SGD")
    return paired(gains([damped[s] for s in damped], [plain[s] for s in damped], "maximize"))


def _parts(found: Summary) -> dict[str, float]:
    """Of a run of Adam + decay at its best peak: how its steps' length changed from the first to the last, by cause."""
    study = study_of(found)
    workload = workload_of(study.workload, study.workload_options)[0]
    steps = study.steps or workload.epochs_to_steps(study.epochs or 0)
    stated = next(part for part in study.arms if part.name == "Adam + decay")
    path = stated.path(steps, arm(found, "Adam + decay")["best_peak"])
    change = explain_run(workload, path, at=looks(steps, LOOKS)).series[0].splits("step")[-1][1]
    if change is None:
        raise ValueError(
            "a run of Adam + decay has steps of length 0; expected an update at the first and the last step"
        )
    return {name: exp(getattr(change, name)) for name in ("schedule", "correction", "direction")}


def _mean(result: Paired) -> float | str:
    return "-" if result.mean is None else result.mean


def _end(result: Paired, which: int) -> float | str:
    found = (result.low, result.high)[which]
    return "-" if found is None else found


CLAIM = Claim(
    "Q12",
    "Adam's and RMSProp's decay damps by past gradients, exponential decay lowers the rate over time: use both.",
    ("both-decays",),
    judge,
)
