"""Q10: Inception-v3's recipe, RMSProp with a rate that falls by 6% every two epochs, replayed."""

from collections.abc import Mapping

from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.reading import arm, gain, tested, told, word
from tapered.study.summary import number

WRITTEN, ADAM = "as written 0.9", ("Adam", "Adam x0.94")


def judge(found: Mapping[str, Summary]) -> Answer:
    """Whether the recipe's decay is of use, and the recipe as written no worse than Adam tuned.

    The decay: "RMSProp 0.9 x0.94" against "RMSProp 0.9" at a constant rate, both tuned, on fresh seeds, "helps". The
    recipe: "as written 0.9", which nobody tuned here, against tuned "Adam" and "Adam x0.94" on the test split, "hurts"
    in neither. Confirmed where both hold, refuted where the decay does not help and the recipe is worse than both, else
    it depends.
    """
    study = found["inception-rmsprop"]
    decay = {name: gain(study, f"{name} x0.94", name, fresh=True) for name in ("RMSProp 0.9", "RMSProp", "Adam")}
    recipe = {name: tested(study, WRITTEN, name) for name in ADAM}
    near = {name: tested(study, name, f"SGD {name}") for name in ("as written", WRITTEN)}
    helps = word(study, decay["RMSProp 0.9"]) == "helps"
    worse = [word(study, result) == "hurts" for result in recipe.values()]
    every = {f"decay of {name}": result for name, result in decay.items()}
    every |= {f"as written over {name}": result for name, result in recipe.items()}
    every |= {f"{name} over SGD": result for name, result in near.items()}
    best = ", ".join(f"{name} {number(arm(study, name)['best_peak'])}" for name in (*decay, "RMSProp 0.9 x0.94"))
    return Answer(
        "confirmed" if helps and not any(worse) else "refuted" if all(worse) and not helps else "depends",
        f"the decay, both tuned: {word(study, decay['RMSProp 0.9'])}, {told(decay['RMSProp 0.9'])}; the recipe as "
        f"written over tuned Adam {told(recipe['Adam'])}, over Adam x0.94 {told(recipe['Adam x0.94'])}; over gradient "
        f"descent at its rate {told(near[WRITTEN])}, as an epsilon of 1 leaves little of the root; best peaks {best}",
        {
            **{key: "-" if result.mean is None else result.mean for key, result in every.items()},
            **{f"{key}, word": word(study, result) for key, result in every.items()},
        },
    )


CLAIM = Claim(
    "Q10",
    "Inception-v3 was trained by RMSProp with decay 0.9, epsilon 1.0 and a rate of 0.045, times 0.94 every two epochs.",
    ("inception-rmsprop",),
    judge,
)
