"""Averages of the weights: whether a constant rate, averaged, ends where a rate that falls to zero does."""

from collections.abc import Mapping

import numpy as np

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import gain, study_of, told, values, word

STUDIES = {"averaging": "mnist1d", "averaging-bmi": "bmi", "averaging-quadratic": "the quadratic"}
AVERAGES = ("ema", "swa", "lawa")


def best(found: Summary) -> str:
    """The average whose mean was best at the seeds that chose the peaks; the fresh ones, which decide, are not asked."""
    sign = 1 if study_of(found).direction == "maximize" else -1
    means = {name: sign * float(np.mean(list(values(found, name).values()))) for name in AVERAGES}
    return max(means, key=lambda name: means[name] if np.isfinite(means[name]) else -np.inf)


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether the best average of a constant rate gives what linear decay to zero gives, where decay gives something.

    Each tuned, paired on fresh seeds; the average is chosen by the seeds that chose the peaks. Confirmed if on each
    problem on which linear "helps" over constant the average "helps" or is "equivalent" against linear, refuted if on
    each of these it "hurts", else it depends, as where decay helps nowhere. Every average is told beside.
    """
    chosen = {name: best(found[name]) for name in STUDIES}
    decay = {name: gain(found[name], "linear", "constant", fresh=True) for name in STUDIES}
    by = {(name, other, base): gain(found[name], other, base, fresh=True)
          for name in STUDIES for other in AVERAGES for base in ("linear", "constant")}  # fmt: skip
    words = {key: word(found[key[0]], result) for key, result in by.items()}
    falls = {name: word(found[name], result) for name, result in decay.items()}
    there = [words[name, chosen[name], "linear"] for name in STUDIES if falls[name] == "helps"]
    good, bad = (there and all(said in of for said in there) for of in (("helps", "equivalent"), ("hurts",)))
    return Answer(
        "confirmed" if good else "refuted" if bad else "depends",
        "; ".join(
            f"on {place} decay over constant {falls[name]}, {told(decay[name])}, and the best average, {chosen[name]}, "
            f"over decay {words[name, chosen[name], 'linear']}, {told(by[name, chosen[name], 'linear'])}, over constant "
            f"{words[name, chosen[name], 'constant']}, {told(by[name, chosen[name], 'constant'])}"
            for name, place in STUDIES.items()
        ),
        {
            **{f"{STUDIES[n]}, linear over constant": "-" if r.mean is None else r.mean for n, r in decay.items()},
            **{f"{STUDIES[name]}, linear over constant, word": said for name, said in falls.items()},
            **{f"{STUDIES[n]}, {other} over {base}": "-" if r.mean is None else r.mean
               for (n, other, base), r in by.items()},
            **{f"{STUDIES[n]}, {other} over {base}, word": said for (n, other, base), said in words.items()},
            **{f"{STUDIES[name]}, best average": name_ for name, name_ in chosen.items()},
        },
    )  # fmt: skip


CLAIM = Claim(
    "averaging",
    "Averaging the weights at a constant rate gives what decaying the rate to zero gives.",
    tuple(STUDIES),
    judge,
)
