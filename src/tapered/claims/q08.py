"""Q8: whether tuning and decaying Adam beats its default, and whether gradient descent then generalises better."""

from collections.abc import Mapping
from math import isnan
from statistics import fmean

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import gain, study_of, tested, told, values, word
from tapered.stats import Paired

PREFIX = "marginal-value-"
STUDIES = tuple(f"{PREFIX}{name}" for name in ("separable", "digits", "mnist1d"))
ADAPTIVE = ("Adam + decay", "RMSProp + decay", "AdaGrad + decay")


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether both parts of Wilson et al.'s claim hold, on each of their example and two data sets.

    A: tuned "Adam + decay" against "Adam default", paired, on the test split, is "helps". B: tuned "SGD + decay"
    against the adaptive arm with decay that is best on the seeds that chose, paired on fresh seeds, is "helps".
    Confirmed where both hold on all, refuted where neither holds on any, else it depends.
    """
    tuned = {name: tested(part, "Adam + decay", "Adam default") for name, part in found.items()}
    rivals = {name: best_adaptive(part) for name, part in found.items()}
    descent = {name: gain(part, "SGD + decay", rivals[name], fresh=True) for name, part in found.items()}
    words = [{name: word(found[name], result) for name, result in part.items()} for part in (tuned, descent)]
    holds = [said == "helps" for part in words for said in part.values()]
    sentences = [
        f"{name.removeprefix(PREFIX)}: tuned Adam with decay over its default {words[0][name]}, {told(tuned[name])}; "
        f"descent over {rivals[name]} {words[1][name]}, {told(descent[name])}"
        for name in found
    ]
    return Answer(
        "confirmed" if all(holds) else "depends" if any(holds) else "refuted",
        ". ".join(sentences),
        {key: value for name in found for key, value in _figures(found[name], tuned[name], descent[name]).items()}
        | {f"{name}, best adaptive": rival for name, rival in rivals.items()},
    )


def best_adaptive(found: Summary) -> str:
    """The adaptive arm with decay whose runs at its best peak are best, by the seeds that chose it."""
    sign = 1.0 if study_of(found).direction == "minimize" else -1.0

    def rank(name: str) -> tuple[int, float]:
        every = list(values(found, name).values())
        whole = [value for value in every if not isnan(value)]
        return len(every) - len(whole), sign * fmean(whole) if whole else 0.0

    return min(ADAPTIVE, key=rank)


def _figures(found: Summary, tuned: Paired, descent: Paired) -> dict[str, float | str]:
    """The two gains and their words, how tuning without decay does, and each arm's means on the test split."""
    name = str(found["study"])
    alone = tested(found, "Adam", "Adam default")
    parts = {"tuned + decay over default": tuned, "tuned over default": alone, "descent over best adaptive": descent}
    return {
        **{f"{name}, {key}": "-" if part.mean is None else part.mean for key, part in parts.items()},
        **{f"{name}, {key}, word": word(found, part) for key, part in parts.items()},
        **{
            f"{name}, test {metric}, {arm['name']}": fmean(every)
            for arm in found["arms"]
            for metric, every in arm["test"].items()
            if None not in every
        },
    }


CLAIM = Claim(
    "Q8",
    "Tuning Adam's initial rate and decay beats its defaults in all cases; SGD generalises better still (Wilson).",
    STUDIES,
    judge,
)
