"""What a study compares: arms, each a rule and its schedules, over a grid of peaks or a space that is searched.

[[arms]]
name = "cooldown"
rule = "Adam"
lr = "hold({1-share}*steps).then(cooldown({share}*steps))"      each peak multiplies it
space = { share = { low = 0.1, high = 0.6 } }                   `tapered tune` fills in {share}
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Self, cast, get_origin, get_type_hints

from pydantic import BeforeValidator, Field, model_validator

from tapered import rules, schedules
from tapered.rules import Rule
from tapered.schedules import Controller, Schedule
from tapered.study.file.fields import Finite, Name, Strict
from tapered.study.file.following import Following, Observed, Observes
from tapered.study.file.peaks import Peaks
from tapered.study.file.question import Against
from tapered.study.file.rules import RULES, Own, check_option
from tapered.study.file.script import Words
from tapered.study.file.space import Range, ends, filled, names_in, number_of
from tapered.study.file.texts import SHAPE, read_rate, read_schedule, shape_of
from tapered.training.averages import Average
from tapered.training.rows import Path as TablePath
from tapered.training.rows import tabulate
from tapered.words import suggest

# fields of an average that are numbers of updates, or a share of the run
MOMENTS = ("start", "every", "latest")


def _average(value: Any) -> Any:
    """An average's fields as the average; as they are where some of its numbers are searched."""
    return value if value is None or (isinstance(value, dict) and names_in(value)) else Average.read(value)


class Arm(Strict):
    """A rule and its schedules; "AdamW" is Adam with decoupled decay.

    The rule is left out where a script trains, which has an optimizer of its own; ``args`` are further words of the
    arm's command there.

    ``lr`` is a shape that each peak multiplies; with ``fixed = true`` it stands as written and the arm is reported
    beside the tuned comparison. ``options`` are the rule's structural choices, ``hypers`` numbers or schedule texts
    for its other hypers. In these the word ``shape`` stands for the arm's own rate over its highest, so that
    ``weight_decay = "0.1 * shape"`` is a decay that follows the rate (Defazio 2025, arXiv 2506.02285). ``peaks``
    replaces the study's grid, with as many peaks.

    ``lr`` may also be a controller, which follows what the run tells, "plateau(patience=2)", alone or after a warmup.
    ``observes`` says what: a number of each evaluation, "loss" unless said, or the training loss of every so-manyth
    update, { metric = "train/loss", every = 50 }. `shape` is then the rate over the highest that it begins with.

    ``against`` names the arm or arms that it is compared with, in the place of the study's baseline; with ``[]`` it is
    compared with none, as others may be with it.

    ``resets`` are the shares of the run at which the rule's state starts anew, as after a reload that keeps the
    weights only; with ``[]`` there is none, but the arm shares its steps with those that have some.

    ``average`` says which average of the weights is evaluated in their place; see
    `tapered.training.averages.Average`, whose fields it has.

    ``space`` names the numbers that are searched beside the peak. They stand as ``{name}`` or ``{1-name}`` in the texts
    of ``lr`` and ``hypers``, and in the place of a share of ``resets`` and of a number of ``average``; ``trials`` are
    those that were tried, each with a peak of its own. What all arms share (how a step is made) is not searched, nor
    what changes the rule itself (``options``).
    """

    name: Name
    rule: str = ""
    lr: str
    observes: Observes | None = None
    args: Words = ()
    fixed: bool = False
    options: Annotated[dict[str, bool | Finite | str], Field(default_factory=dict)]
    hypers: Annotated[dict[str, float | str], Field(default_factory=dict)]
    peaks: Peaks | None = None
    against: Against | None = None
    resets: Annotated[tuple[Any, ...], Field(strict=False)] | None = None
    average: Annotated[Average | dict[str, Any] | None, BeforeValidator(_average)] = None
    space: Annotated[dict[str, Range], Field(default_factory=dict)]
    trials: Annotated[tuple[dict[str, Finite], ...], Field(strict=False)] = ()

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        """`AdamW` as what it is: Adam whose decay is decoupled, 0.01 as torch has it where nothing is said."""
        if not (isinstance(given, Mapping) and given.get("rule") == "AdamW"):
            return given
        options, hypers = (given.get(field, {}) for field in ("options", "hypers"))
        if not (isinstance(options, Mapping) and isinstance(hypers, Mapping)):
            return given
        if options.get("decay", "decoupled") != "decoupled":
            raise ValueError(
                f'rule = "AdamW" is Adam with decay = "decoupled", got {options["decay"]!r}; try rule = "Adam"'
            )
        return {
            **given,
            "rule": "Adam",
            "options": {"decay": "decoupled", **options},
            "hypers": {"weight_decay": 0.01, **hypers},
        }

    @model_validator(mode="after")
    def _known(self) -> Self:
        for field in ("rule", "options"):
            if names_in(getattr(self, field)):
                raise ValueError(
                    f"{field} = {getattr(self, field)!r} has a number that is searched, and says which rule the arm "
                    f"is, one in all trials; try an arm for each"
                )
        if self.rule and self.rule not in RULES:
            raise ValueError(f"rule={self.rule!r} is unknown; {suggest(self.rule, RULES)}")
        rule = self._rule()
        for name in self.hypers if self.rule else ():
            if name not in rule.hypers:
                raise ValueError(f"hypers has {name!r}, unknown to {self.rule}; {suggest(name, rule.hypers)}")
        if self.fixed and self.peaks is not None:
            raise ValueError("fixed = true and peaks exclude each other; a fixed arm's rate stands as written")
        if self.fixed and (self.space or self.trials):
            raise ValueError("fixed = true and space exclude each other; a fixed arm's rate stands as written")
        self._check_space()
        for end in ends(self.space):
            self._at(end).build()
        self._check_resets()
        return self

    def _check_space(self) -> None:
        """Every placeholder has a range, every range a placeholder, every trial a value for each and its own peak."""
        searched = {"lr": self.lr, "hypers": self.hypers, "resets": self.resets, "average": self.average}
        if "peak" in self.space:
            raise ValueError("space has 'peak', which each trial has from the grid of peaks; try another name")
        used = {name: field for field, value in searched.items() for name in names_in(value)}
        for name in sorted(used.keys() - self.space.keys()):
            raise ValueError(
                f"{{{name}}} in {used[name]} has no range; try space = {{ {name} = {{ low = 0.1, high = 0.5 }} }}"
            )
        for name in sorted(self.space.keys() - used.keys()):
            raise ValueError(
                f"space has {name!r}, which stands in no text; try {{{name}}} in lr, hypers, resets or average"
            )
        self._check_moments()
        wanted = {"peak", *self.space}
        if any(set(trial) != wanted or trial["peak"] <= 0 for trial in self.trials):
            raise ValueError(f"a trial of arm {self.name!r} lacks one of {sorted(wanted)}, has another, or peak <= 0")
        if len({trial["peak"] for trial in self.trials}) < len(self.trials):
            raise ValueError(f"two trials of arm {self.name!r} have one peak; expected a peak of its own for each")

    def _check_moments(self) -> None:
        """What of an average is searched is a number wherever in its range it falls."""
        fields = self.average if isinstance(self.average, dict) else {}
        for field in ("kind", "batch_norm"):
            if names_in(fields.get(field)):
                raise ValueError(
                    f"average.{field} = {fields[field]!r} is a word, and a space has numbers; try an arm for each"
                )
        for field in MOMENTS:
            for name in names_in(fields.get(field)):
                found = self.space[name]
                if not (found.whole or (field != "latest" and 0 < found.low < found.high < 1)):
                    share = "" if field == "latest" else ", or a range of shares of the run, between 0 and 1"
                    raise ValueError(
                        f"average.{field} = {fields[field]!r} is searched from {found.low:g} to {found.high:g}, where "
                        f"not every number is one of updates; try whole = true in its range{share}"
                    )

    def _check_resets(self) -> None:
        """Shares of the run that ascend, wherever in their ranges those that are searched fall."""
        low, high = ([number_of(reset, end) for reset in self.resets or ()] for end in ends(self.space))
        for given, *span in zip(self.resets or (), low, high, strict=True):
            if not all(type(end) is float and 0 < end < 1 for end in span):
                raise ValueError(
                    f"resets has {given!r}; expected shares of the run, between 0 and 1; try resets = [0.5]"
                )
        spans = [sorted(span) for span in zip(low, high, strict=True)]
        if any(before[1] >= after[0] for before, after in pairwise(spans)):
            tried = "ranges that do not overlap" if names_in(self.resets) else f"{sorted(set(self.resets or ()))}"
            raise ValueError(f"resets={list(self.resets or ())} do not ascend; try {tried}")

    def build(self) -> Rule:
        """The rule with its options, its resets, and the average that is kept beside it."""
        rule = self._resetting()
        return rule if self.averaged is None else self.averaged.wrapped(rule)

    @property
    def averaged(self) -> Average | None:
        """The average of an arm of which no number is searched.

        Raises:
            ValueError: If one is.
        """
        return None if self.average is None else Average.read(self.average)

    def _resetting(self) -> Rule:
        return self._rule() if self.resets is None else rules.Restarted(self._rule())

    def _rule(self) -> Rule:
        if not self.rule:
            return cast("Rule", Own(self.args))
        try:
            rule: Rule = RULES[self.rule](**self.options)
        except TypeError as error:
            fields = sorted(RULES[self.rule].__dataclass_fields__)
            raise ValueError(f"options {self.options} do not fit {self.rule}, which has {fields}") from error
        hints = get_type_hints(RULES[self.rule])
        for name, hint in hints.items():
            if get_origin(hint) is ClassVar:
                continue
            check_option(name, getattr(rule, name), hint)
        return rule

    def at(self, peak: float | None) -> Self:
        """The arm with the numbers of the trial at ``peak`` in its texts; itself where it has no space."""
        if not self.space:
            return self
        return self._at(next(trial for trial in self.trials if trial["peak"] == peak))

    def _at(self, trial: Mapping[str, float]) -> Self:
        found = {
            "lr": filled(self.lr, trial),
            "hypers": {name: filled(v, trial) if isinstance(v, str) else v for name, v in self.hypers.items()},
            "resets": self.resets and tuple(number_of(reset, trial) for reset in self.resets),
            "average": self.average,
        }
        if isinstance(self.average, dict):
            texts = {
                name: filled(v, trial) if name == "ramp" else number_of(v, trial) for name, v in self.average.items()
            }
            found["average"] = Average.read(texts)
        return self.model_copy(update={**found, "space": {}, "trials": (), "peaks": None})

    def rate(self, steps: int, peak: float | None) -> Schedule | Controller:
        """The rate as written times the peak: a schedule, or a controller, which follows what its run tells."""
        field = f"arm {self.name!r}: lr"
        found = read_rate(self.at(peak).lr, steps, field)
        if isinstance(found, Controller):
            if found != found.fresh:
                raise ValueError(f"{field} has a state, {found.state}, and runs begin without one; leave .in_state out")
            found.fits(1)
        return found if peak is None else peak * found

    def schedule(self, steps: int, peak: float | None) -> Schedule:
        """The rate where all its values are known beforehand.

        Raises:
            ValueError: It follows what its run tells.
        """
        found = self.rate(steps, peak)
        if isinstance(found, Controller):
            raise ValueError(f"arm {self.name!r}: lr = {self.lr!r}: {found.why_no_table()}")  # noqa: TRY004  # a text
        return found

    def following(self, steps: int, peak: float | None) -> Following | None:
        """What sets its rate as its run tells; None where that is known beforehand."""
        found = self.rate(steps, peak)
        return Following(found, self.observes or Observed(), steps) if isinstance(found, Controller) else None

    def path(self, steps: int, peak: float | None, *, lr: Schedule | None = None) -> TablePath:
        """Every hyper at every step; with ``lr`` in the place of its own rate where that is given.

        Raises:
            ValueError: A hyper is out of its range, or the rate follows what its run tells and none is given.
        """
        if self.space:
            return self.at(peak).path(steps, peak, lr=lr)
        rule, rate, follows = self._resetting(), lr or self.schedule(steps, peak), self.following(steps, peak)
        own = rate if follows is None else follows.schedule()
        given: dict[str, Any] = {
            name: self.hyper(name, value, steps, rate, own) if isinstance(value, str) else value
            for name, value in self.hypers.items()
        }
        if self.resets:
            begun = tuple(round(share * steps) for share in self.resets)
            given["begun"] = schedules.piecewise_constant(begun, (0, *begun), switch="at")
        try:
            path = tabulate(rule, steps, lr=rate, **given)
            return path if self.averaged is None else self.averaged.over(path)
        except ValueError as error:
            at_peak = "" if peak is None else f" at peak {peak:g}"
            raise ValueError(f"arm {self.name!r}{at_peak}: {error}") from error

    def begun(self, steps: int, peak: float | None) -> TablePath:
        """As `path`; of a rate that follows its run as long as nothing is told."""
        follows = self.following(steps, peak)
        return self.path(steps, peak, lr=None if follows is None else follows.schedule())

    def hyper(self, name: str, text: str, steps: int, rate: Schedule, own: Schedule | None = None) -> Schedule:
        """A hyper's schedule, in which `shape` may stand for the rate over the highest of itself, or of its ``own``."""
        field = f"arm {self.name!r}: hypers.{name}"
        words = {"shape": shape_of(rate, own or rate, steps, field)} if SHAPE.search(text) else {}
        return read_schedule(text, steps, field, words)
