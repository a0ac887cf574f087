"""A study as its TOML file states it: what is compared, at which peaks and seeds, and by which metric.

    name = "mine"                          [[arms]]
    workload = "model.py:problem"          name = "constant"
    steps = 2000                           rule = "Adam"
    seeds = 8                              lr = "constant(1.0)"       multiplied by each peak
    baseline = "constant"                  against = "constant"    what it is compared with
    peaks = { low = 1e-3, high = 1e-1, count = 5 }

In a schedule's text the word ``steps`` stands for the study's steps and ``0.1*steps`` for that share of them,
rounded, so that a horizon moves with the study: ``exponential_decay(decay_steps=steps, decay_rate=0.01)``.
"""

from math import prod
from typing import Annotated, Literal, Self

import tomlkit
from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, Field, model_validator

from tapered.stats import seeds_needed
from tapered.study.file.arms import Arm
from tapered.study.file.executor import Executor
from tapered.study.file.fields import Name, Positive, Share, Whole
from tapered.study.file.ledger import Ledger
from tapered.study.file.peaks import Peaks
from tapered.study.file.question import Question, check_against, pairs
from tapered.study.file.recipe import Steps
from tapered.study.file.script import Script
from tapered.study.file.search import Prune, Tune
from tapered.study.file.space import Range
from tapered.words import counted, suggest
from tapered.workloads.cells import written

__all__ = ["Arm", "Peaks", "Prune", "Range", "Study", "Tune", "suggest", "to_toml"]
EXTEND = 4


class Study(Question, Steps):
    """A study file.

    ``question``, ``claim``, ``criterion`` and ``known`` say what it is asked (`Question`). A tuned arm is compared with
    those that its ``against`` names, with the ``baseline`` where it says nothing.

    ``steps`` or ``epochs`` says how long each run trains, ``seeds`` how many there are from ``first_seed`` on,
    ``evaluations`` at how many evenly spaced steps beside 0 each is evaluated, ``threads`` what torch computes with
    (other counts may change the last bits), ``mode`` how rows are trained, where "auto" times what is fastest here
    (another mode may change the last bits, too), ``kinds`` whether "any" kind of processor may go on with what another
    began (which changes them, too, and the result says so), ``delta`` the smallest difference in the metric that
    matters.

    ``clip_norm``, ``clip_value``, ``accumulate``, ``groups`` and ``layer_decay`` say how a step is made, as the fields
    of a `Recipe` do; ``precision``, ``params``, ``compile`` and ``device`` what it is computed in and on; ``workers``
    how many processes fetch its items. What is not said is the workload's own.

    ``extend`` is how many peaks the grid may be extended by, beyond its edges and for all tuned arms, until every
    arm's best peak is interior. ``fresh`` is how many seeds that chose nothing each arm is trained with again at its
    best peak. Where they are not given, a study with a grid and at least 8 seeds has 4, and as many as it has seeds or
    more where its comparisons take more; another has 0.

    A `[script]` table has somebody's own script trained in the place of a ``workload``.

    ``executor`` is where runs are trained, on which no number depends; ``ledger`` a database's server that shows the
    finished ones, in the place of the folder's ledger.db.
    """

    model_config = Ledger.model_config

    name: Name
    workload: Annotated[str, BeforeValidator(written)] = ""
    script: Script | None = None
    workload_options: Annotated[dict[str, bool | int | float | str], Field(default_factory=dict)]
    steps: Annotated[Whole, Ge(1)] | None = None
    epochs: Positive | None = None
    seeds: Annotated[Whole, Ge(1), Le(100_000)] = 8
    first_seed: Annotated[Whole, Ge(0)] = 0
    evaluations: Annotated[Whole, Ge(1), Le(10_000)] = 20
    metric: str = "loss"
    direction: Literal["minimize", "maximize"] = "minimize"
    alpha: Share = 0.05
    delta: Positive | None = None
    threads: Annotated[Whole, Ge(1), Le(1024)] = 1
    mode: Literal["auto", "loop", "rows", "rows compiled"] = "auto"
    kinds: Literal["same", "any"] = "same"
    extend: Annotated[Whole, Ge(0), Le(100)] | None = None
    fresh: Annotated[Whole, Ge(0), Le(100_000)] | None = None
    prune: Prune | None = None
    tune: Tune | None = None
    ledger: Ledger | None = None
    baseline: str
    executor: Executor | None = None
    peaks: Peaks
    arms: Annotated[tuple[Arm, ...], MinLen(1), Field(strict=False)]

    def __repr__(self) -> str:
        of = [counted(len(self.arms), "arm"), counted(self.peaks.count, "peak"), counted(self.seeds, "seed")]
        return f"Study({self.name!r:.200}: {', '.join(of)}; to_toml writes all of it)"

    __str__ = __repr__

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_subject()
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("expected exactly one of steps and epochs; try steps = 2000")
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"arms share the name {min(twice)!r}; expected each name once")
        tuned = [arm.name for arm in self.arms if not arm.fixed]
        if self.baseline not in tuned:
            raise ValueError(f"baseline={self.baseline!r} is not a tuned arm; {suggest(self.baseline, tuned)}")
        check_against(self.baseline, self.arms)
        for arm in self.arms:
            if arm.peaks is not None and arm.peaks.count != self.peaks.count:
                raise ValueError(
                    f"arm {arm.name!r} has {arm.peaks.count} peaks and the study {self.peaks.count}; "
                    f"arms are tuned with equal budgets; try count = {self.peaks.count}"
                )
        if self.extend and self.peaks.count == 1:
            raise ValueError("extend needs the ratio of a grid; try count = 2 or more, or extend = 0")
        self._check_prune()
        self._check_tune()
        seeds_needed(self.alpha, max(1, self.comparisons))  # an alpha that no number of seeds can show is refused
        return self

    def _check_subject(self) -> None:
        """One of a workload and a script is studied, and nothing is said that means nothing for it."""
        if self.script is not None:
            refuse_what_a_script_has_not(self)
            names = [arm.name for arm in self.arms]
            for arm in self.arms:
                if "peak" in self.script.template(arm.args, names).names() and arm.fixed:
                    raise ValueError(
                        f"arm {arm.name!r} is fixed and has no peak, which the command asks for; try {{lr}}, its "
                        f"largest rate, in the place of {{peak}}"
                    )
            return
        if not self.workload:
            raise ValueError('workload is missing; try workload = "bmi", or a table [script] with a command')
        for place, arm in enumerate(self.arms):
            if not arm.rule:
                raise ValueError(f'arms.{place}.rule is missing; try rule = "Adam"')
            if arm.args:
                raise ValueError(
                    f"arms.{place}.args are words of a script's command, and this is a study of a workload"
                )

    def _check_prune(self) -> None:
        for rung in self.prune.rungs if self.prune else ():
            if abs(rung * self.evaluations - round(rung * self.evaluations)) > 1e-9:
                raise ValueError(f"rung {rung:g} is no evaluation; expected a multiple of 1/{self.evaluations}")

    def _check_tune(self) -> None:
        if self.tune is None:
            waiting = [arm.name for arm in self.arms if arm.space and not arm.trials]
            if waiting:
                raise ValueError(
                    f"arm {waiting[0]!r} has a space, which is to be searched; try tapered tune FILE --trials 16, or "
                    f"tune = {{ trials = 16 }}"
                )
            return
        if any(arm.trials and len(arm.trials) != self.tune.trials for arm in self.arms):
            raise ValueError(
                f"an arm has trials already, and not {self.tune.trials} of them; leave them out, as the search asks "
                f"for its own, or give all"
            )
        if self.prune or self.extend:
            raise ValueError(f"tune and {'prune' if self.prune else 'extend'} exclude each other; try one of them")
        for arm in self.arms:
            size = (arm.peaks or self.peaks).count * prod(len(found.values) for found in arm.space.values())
            if self.tune.sampler == "grid" and not arm.fixed and self.tune.trials > size:
                raise ValueError(
                    f"arm {arm.name!r} has a grid of {size} and is asked for {self.tune.trials} trials; arms are tuned "
                    f"with equal budgets; try trials = {size}, or larger counts"
                )

    def grid_of(self, arm: Arm) -> Peaks:
        """The grid of a tuned arm."""
        return arm.peaks or self.peaks

    def peaks_of(self, arm: Arm) -> tuple[float | None, ...]:
        """The peaks an arm is tried at, lowest first; (None,) for a fixed one."""
        if arm.trials:
            return tuple(sorted(trial["peak"] for trial in arm.trials))
        return (None,) if arm.fixed else self.grid_of(arm).values

    def extended(self, below: int, above: int) -> Self:
        """The study with so many more peaks beyond the edges of every grid."""
        arms = tuple(
            arm.model_copy(update={"peaks": arm.peaks.extended(below, above)}) if arm.peaks else arm
            for arm in self.arms
        )
        return self.model_copy(update={"arms": arms, "peaks": self.peaks.extended(below, above)})

    @property
    def most_added(self) -> int:
        """Peaks that each tuned arm's grid may be extended by."""
        if self.extend is not None:
            return self.extend
        return EXTEND if self.seeds >= seeds_needed() and self.peaks.count > 2 and self.tune is None else 0

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Who is compared with whom: (arm, what it is compared with), in the order of the file."""
        return pairs(self.baseline, self.arms)

    @property
    def compared_with(self) -> frozenset[str]:
        """The arms that others are compared with, without which those have no verdict."""
        return frozenset(other for _, other in self.pairs)

    @property
    def comparisons(self) -> int:
        """How many comparisons there are."""
        return len(self.pairs)

    @property
    def needed(self) -> int:
        """Seeds below which no verdict can be "better" or "worse", at its alpha and for its comparisons."""
        return seeds_needed(self.alpha, max(1, self.comparisons))

    @property
    def lacks(self) -> str | None:
        """Why no verdict can be "better" or "worse", and what to write; None where one can."""
        field, have = ("fresh", len(self.fresh_seeds)) if self.fresh_seeds else ("seeds", self.seeds)
        if have >= self.needed or not self.comparisons:
            return None
        many, fewer = counted(self.comparisons, "comparison"), bool(self.prune and self.prune.probe)
        return (
            f'With {field} = {have} no verdict can be "better" or "worse": {many} at alpha = {self.alpha:g} '
            f"{'take' if self.comparisons > 1 else 'takes'} {self.needed} seeds; try {field} = {self.needed}"
            f"{', unless pruning is to leave fewer arms' if fewer else ''}."
        )

    @property
    def fresh_seeds(self) -> range:
        """The seeds that confirm: those after the ones that choose."""
        chosen = self.peaks.count > 1 or self.tune is not None
        enough = max(self.seeds, self.needed) if chosen and self.seeds >= seeds_needed() else 0
        count = enough if self.fresh is None else self.fresh
        return range(self.first_seed + self.seeds, self.first_seed + self.seeds + count)

    @property
    def seed_values(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)


# what says how a workload is trained: field -> what a script has in its place
OF_WORKLOADS = {
    **dict.fromkeys(Steps.model_fields, "how a step is made is the script's own; write it into the command"),
    "workload": "there is one subject of a study",
    "workload_options": "a script's options are words of its command",
    "epochs": "how many updates an epoch has is not known of a script; try steps",
    "mode": "a script trains one run at a time, its own way",
}
OF_RULES = ("rule", "options", "hypers", "resets", "average", "observes")


def refuse_what_a_script_has_not(study: Study) -> None:
    """Refuse what a study of a script states and nothing would follow from.

    Raises:
        ValueError: naming the first such field.
    """
    for field, why in OF_WORKLOADS.items():
        if field in study.model_fields_set and getattr(study, field) is not None:
            raise ValueError(f"{field} is of a workload, and this study has a [script]: {why}")
    if study.prune is not None and study.prune.probe is not None:
        raise ValueError(
            "prune.probe forks a run in memory, and this study has a [script]; leave probe out, and peaks are pruned"
        )
    for place, arm in enumerate(study.arms):
        for field in OF_RULES:
            if field in arm.model_fields_set and getattr(arm, field) not in (None, ""):
                raise ValueError(
                    f"arms.{place}.{field} is of a workload's optimizer, and this study has a [script], whose "
                    f'optimizer is its own; try args = "--name value" of arm {arm.name!r}'
                )


def to_toml(study: Study) -> str:
    """A study as TOML that reads back as the same study: fields at their defaults are left out."""
    return tomlkit.dumps(study.model_dump(mode="json", exclude_none=True, exclude_defaults=True))
