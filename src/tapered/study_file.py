"""A study as its TOML file states it: what is compared, at which peaks and seeds, and by which metric.

    name = "mine"                          [[arms]]
    workload = "model.py:problem"          name = "constant"
    steps = 2000                           rule = "Adam"
    seeds = 8                              lr = "constant(1.0)"       multiplied by each peak
    baseline = "constant"
    peaks = { low = 1e-3, high = 1e-1, count = 5 }

In a schedule's text the word ``steps`` stands for the study's steps and ``0.1*steps`` for that share of them,
rounded, so that a horizon moves with the study: ``exponential_decay(decay_steps=steps, decay_rate=0.01)``.
"""

import difflib
import json
import re
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from tapered import rules, schedules
from tapered.rules import Rule
from tapered.schedules import Schedule
from tapered.train import Path as TablePath
from tapered.train import tabulate

RULES: dict[str, type[Any]] = {
    kind.__name__: kind
    for kind in (
        rules.SGD,
        rules.Adam,
        rules.NAdam,
        rules.RAdam,
        rules.Adamax,
        rules.RMSprop,
        rules.Adagrad,
        rules.Adadelta,
        rules.Lion,
        rules.ScheduleFreeAdamW,
    )
}
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
STEPS = re.compile(r"(?:(\d+(?:\.\d+)?|\.\d+)\s*\*\s*)?\bsteps\b(?!\s*=)")


class Strict(BaseModel):
    """Unknown keys are refused, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Peaks(Strict):
    """A logarithmic grid: ``count`` peaks from ``low`` to ``high``."""

    low: Positive
    high: Positive
    count: Annotated[int, Field(ge=1, le=1000)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high or (self.count > 1) != (self.low < self.high):
            raise ValueError(f"low={self.low:g} and high={self.high:g} do not span {self.count} peaks; try low < high")
        return self

    @property
    def values(self) -> tuple[float, ...]:
        """The peaks, lowest first, rounded to 6 digits so that they read as they are used."""
        grid = np.geomspace(self.low, self.high, self.count)
        return tuple(float(f"{value:.6g}") for value in grid)


class Arm(Strict):
    """A rule and its schedules.

    ``lr`` is a shape that each peak multiplies; with ``fixed = true`` it stands as written and the arm is reported
    beside the tuned comparison. ``options`` are the rule's structural choices, ``hypers`` numbers or schedule texts
    for its other hypers. ``peaks`` replaces the study's grid, with as many peaks.
    """

    name: Name
    rule: str
    lr: str
    fixed: bool = False
    options: dict[str, bool | str] = {}
    hypers: dict[str, float | str] = {}
    peaks: Peaks | None = None

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} is unknown; {suggest(self.rule, RULES)}")
        rule = self.build()
        for name in self.hypers:
            if name not in rule.hypers:
                raise ValueError(f"hypers has {name!r}, unknown to {self.rule}; {suggest(name, rule.hypers)}")
        if self.fixed and self.peaks is not None:
            raise ValueError("fixed = true and peaks exclude each other; a fixed arm's rate stands as written")
        return self

    def build(self) -> Rule:
        """The rule with its options."""
        try:
            rule: Rule = RULES[self.rule](**self.options)
        except TypeError as error:
            fields = sorted(RULES[self.rule].__dataclass_fields__)
            raise ValueError(f"options {self.options} do not fit {self.rule}, which has {fields}") from error
        return rule

    def schedule(self, steps: int, peak: float | None) -> Schedule:
        """The rate as applied: its shape times the peak."""
        shape = read_schedule(self.lr, steps, f"arm {self.name!r}: lr")
        return shape if peak is None else peak * shape

    def path(self, steps: int, peak: float | None) -> TablePath:
        """Every hyper at every step."""
        rule = self.build()
        given: dict[str, Any] = {
            name: read_schedule(value, steps, f"arm {self.name!r}: hypers.{name}") if isinstance(value, str) else value
            for name, value in self.hypers.items()
        }
        return tabulate(rule, steps, lr=self.schedule(steps, peak), **given)


class Study(Strict):
    """A study file.

    ``steps`` or ``epochs`` says how long each run trains, ``seeds`` how many there are from ``first_seed`` on,
    ``evaluations`` at how many evenly spaced steps beside 0 each is evaluated, ``threads`` what torch computes with
    (other counts may change the last bits), ``delta`` the smallest difference in the metric that matters.
    """

    name: Name
    workload: str
    workload_options: dict[str, bool | int | float | str] = {}
    steps: Annotated[int, Field(ge=1)] | None = None
    epochs: Positive | None = None
    seeds: Annotated[int, Field(ge=1, le=100_000)] = 8
    first_seed: Annotated[int, Field(ge=0)] = 0
    evaluations: Annotated[int, Field(ge=1, le=10_000)] = 20
    metric: str = "loss"
    direction: Literal["minimize", "maximize"] = "minimize"
    alpha: Annotated[float, Field(gt=0, lt=1)] = 0.05
    delta: Positive | None = None
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    baseline: str
    peaks: Peaks
    arms: Annotated[tuple[Arm, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("expected exactly one of steps and epochs; try steps = 2000")
        names = [arm.name for arm in self.arms]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"arms share the name {min(twice)!r}; expected each name once")
        tuned = [arm.name for arm in self.arms if not arm.fixed]
        if self.baseline not in tuned:
            raise ValueError(f"baseline={self.baseline!r} is not a tuned arm; {suggest(self.baseline, tuned)}")
        for arm in self.arms:
            if arm.peaks is not None and arm.peaks.count != self.peaks.count:
                raise ValueError(
                    f"arm {arm.name!r} has {arm.peaks.count} peaks and the study {self.peaks.count}; "
                    f"arms are tuned with equal budgets; try count = {self.peaks.count}"
                )
        return self

    def peaks_of(self, arm: Arm) -> tuple[float | None, ...]:
        """The peaks an arm is tried at; (None,) for a fixed one."""
        return (None,) if arm.fixed else (arm.peaks or self.peaks).values

    @property
    def seed_values(self) -> range:
        """The seeds themselves."""
        return range(self.first_seed, self.first_seed + self.seeds)


def read_schedule(text: str, steps: int, field: str) -> Schedule:
    """The schedule that ``text`` writes, with ``steps`` and ``share*steps`` replaced by numbers.

    Raises:
        ValueError: If it is no schedule; the message names the field.
    """
    try:
        return schedules.parse(STEPS.sub(lambda found: str(round(float(found[1] or 1) * steps)), text))
    except ValueError as error:
        raise ValueError(f"{field} = {text!r}: {error}") from error


def suggest(name: str, known: Any) -> str:
    """What to write instead: the nearest of the known names, or all of them."""
    names = [str(k) for k in known if not str(k).startswith("_")]
    near = difflib.get_close_matches(name, names, 1, 0.5)
    return f'try "{near[0]}"' if near else "expected one of " + ", ".join(names)


def to_toml(study: Study) -> str:
    """A study as TOML that reads back as the same study: fields at their defaults are left out.

    JSON's texts, numbers, lists and booleans are TOML's as well.
    """
    fields = study.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    arms = fields.pop("arms")
    lines = [f"{name} = {_toml(value)}" for name, value in fields.items()]
    for arm in arms:
        lines += ["", "[[arms]]", *(f"{name} = {_toml(value)}" for name, value in arm.items())]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(part)}" for key, part in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)
