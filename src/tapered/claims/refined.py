"""Refined schedules: whether the one that theory finds best for the norms of a run before beats linear decay."""

from collections.abc import Mapping

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import gain, told, word

STUDIES = ("refined-bmi", "refined-quadratic", "refined-mnist1d")
ARMS = ("refined l2", "refined l1")
MOST = 4  # of six


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether schedules made from gradient norms are better than linear decay, both after the same warmup and tuned.

    Each of two on three problems, paired on fresh seeds. Confirmed where at least four of the six "help" and none
    "hurts", refuted where none "helps" and at least one "hurts", else it depends.
    """
    by = {(name, arm): gain(found[name], arm, "linear", fresh=True) for name in STUDIES for arm in ARMS}
    words = {key: word(found[key[0]], result) for key, result in by.items()}
    helps, hurts = (list(words.values()).count(said) for said in ("helps", "hurts"))
    whole = {name: name.removeprefix("refined-") for name in STUDIES}
    return Answer(
        "confirmed" if helps >= MOST and not hurts else "refuted" if hurts and not helps else "depends",
        "over linear decay, "
        + "; ".join(f"{arm} on {whole[name]} {words[name, arm]}, {told(by[name, arm])}" for name, arm in by),
        {
            **{f"{whole[name]}, {arm}": "-" if r.mean is None else r.mean for (name, arm), r in by.items()},
            **{f"{whole[name]}, {arm}, word": said for (name, arm), said in words.items()},
        },
    )


CLAIM = Claim(
    "refined",
    "The schedule that a bound finds best for a run's gradient norms beats linear decay (Defazio et al. 2023).",
    STUDIES,
    judge,
)
