"""Q2: an exponentially decaying rate for Adam against a constant one, as they were asked and tuned."""

from collections.abc import Mapping

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import comparison, gain
from tapered.stats import verdict


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether exponential decay is useful as Adam's rate on the BMI data.

    Two comparisons: both schedules tuned over the same peaks, on fresh seeds; and the question's two programs as they
    are written. Confirmed if decay helps in both; refuted if it helps in neither; else depends.
    """
    study = found["bmi"]
    tuned = comparison(study, "exponential decay")
    written = gain(study, "as asked: 0.15 decaying", "as asked: 1e-4")
    words = [tuned["verdict"], verdict(written).word]
    helps = words.count("helps")
    return Answer(
        "confirmed" if helps == 2 else "depends" if helps else "refuted",
        f"tuned, decay: {words[0]}, loss lower by {_figure(tuned['mean'])} ({_figure(tuned['low'])} to "
        f"{_figure(tuned['high'])}); as written, 0.15 decaying against 1e-4: {words[1]}, lower by "
        f"{_figure(written.mean)} ({_figure(written.low)} to {_figure(written.high)}), better at {written.wins} of "
        f"{written.n} seeds",
        {
            "tuned": words[0],
            "tuned_gain": _figure(tuned["mean"]),
            "as_written": words[1],
            "as_written_gain": _figure(written.mean),
            "as_written_wins": written.wins,
            "seeds": written.n,
        },
    )


def _figure(value: float | None) -> str:
    """To three digits; a dash where runs diverged."""
    return "-" if value is None else f"{value:.3g}"


CLAIM = Claim(
    "Q2",
    "exponential_decay(0.15, step, 1, 0.9999) may be useful as Adam's rate, instead of 1e-4.",
    ("bmi",),
    judge,
)
