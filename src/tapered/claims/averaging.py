"""Averages of the weights: whether a constant rate, averaged, ends where a rate that falls to zero does."""

from collections.abc import Mapping

import numpy as np

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import gain, study_of, told, values, word

PLACES = {"averaging": "mnist1d", "averaging-bmi": "bmi", "averaging-quadratic": "the quadratic"}  # of each study
AVERAGES = ("ema", "swa", "lawa")
PAIRS = (
    ("linear", "constant"),
    *((average, base) for base in ("linear", "constant") for average in AVERAGES),
)


def best(found: Summary) -> str:
    """The average whose mean was best at the seeds that chose the peaks; the fresh seeds, which decide, have no say."""
    sign = 1 if study_of(found).direction == "maximize" else -1
    means = {name: sign * float(np.mean(list(values(found, name).values()))) for name in AVERAGES}
    return max(means, key=lambda name: means[name] if np.isfinite(means[name]) else -np.inf)


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether the best average of a constant rate gives what linear decay to zero gives, where decay gives something.

    Each tuned, paired on fresh seeds; the average is chosen by the seeds that chose the peaks. Confirmed if on each
    problem on which linear "helps" over constant the average "helps" or is "equivalent" against linear, refuted if on
    each of these it "hurts", else it depends, as where decay helps nowhere. Every average is told beside.
    """
    by = {(name, *pair): gain(found[name], *pair, fresh=True) for name in PLACES for pair in PAIRS}
    words = {key: word(found[key[0]], result) for key, result in by.items()}
    chosen = {name: best(found[name]) for name in PLACES}
    there = [words[name, chosen[name], "linear"] for name in PLACES if words[name, "linear", "constant"] == "helps"]
    good, bad = (bool(there) and {*there} <= of for of in ({"helps", "equivalent"}, {"hurts"}))

    def said(name: str, one: str, other: str) -> str:
        return f"{words[name, one, other]}, {told(by[name, one, other])}"

    return Answer(
        "confirmed" if good else "refuted" if bad else "depends",
        "; ".join(
            f"on {place} decay over constant {said(name, 'linear', 'constant')}, and the best average, {chosen[name]}, "
            f"over decay {said(name, chosen[name], 'linear')}, over constant {said(name, chosen[name], 'constant')}"
            for name, place in PLACES.items()
        ),
        {
            **{f"{PLACES[name]}, {one} over {other}": "-" if result.mean is None else result.mean
               for (name, one, other), result in by.items()},
            **{f"{PLACES[name]}, {one} over {other}, word": text for (name, one, other), text in words.items()},
            **{f"{PLACES[name]}, best average": average for name, average in chosen.items()},
        },
    )  # fmt: skip


CLAIM = Claim(
    "averaging",
    "Averaging the weights at a constant rate gives what decaying the rate to zero gives.",
    tuple(PLACES),
    judge,
)
