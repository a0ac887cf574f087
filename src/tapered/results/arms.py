"""The arms of a result, by their names."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from tapered.schedules import Schedule, parse
from tapered.words import brief, suggest


class UnknownError(KeyError):
    """A name that a result does not have; the message says which it has."""

    def __str__(self) -> str:  # a KeyError's own is the repr of its message
        return str(self.args[0])


@brief
@dataclass(frozen=True)
class Arm:
    """An arm at its best peak.

    Args:
        name: Its name.
        rule: Its rule's name; "" where a script's optimizer was trained.
        schedule: Its rate, peak included, as its runs were trained; None where no text can carry it.
        peak: Its best peak; None for an arm whose rate stands as written.
        hypers: Its other hypers, numbers or schedules.
        options: Its rule's options.
        mean: The metric at the last step, mean over the seeds on which verdicts rest: fresh ones, where there are
            some; None where none ended.
        values: The metric of each seed by which the peak was chosen; None where it diverged.
        diverged: How many of all its runs diverged.
        peaks: (peak, mean) of every peak that was tried, lowest first.
        searched: The numbers of its space that a search found.

    Example:
        >>> cosine = parse("0.1 * cosine_decay(decay_steps=40)")
        >>> arm = Arm("cosine", "SGD", cosine, 0.1, {}, {}, 0.25, (0.2, None, 0.3), 1, ((0.05, 0.4), (0.1, 0.25)), {})
        >>> arm.schedule(20), min(mean for _, mean in arm.peaks) == arm.mean
        (0.05, True)
    """

    name: str
    rule: str
    schedule: Schedule | None
    peak: float | None
    hypers: Mapping[str, float | Schedule]
    options: Mapping[str, Any]
    mean: float | None
    values: tuple[float | None, ...]
    diverged: int
    peaks: tuple[tuple[float | None, float | None], ...]
    searched: Mapping[str, float]

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """From the fields of a kept result."""
        best = next(peak for peak in fields["peaks"] if peak["peak"] == fields["best_peak"])
        hypers = {name: parse(value) if isinstance(value, str) else value for name, value in fields["hypers"].items()}
        return cls(
            name=fields["name"],
            rule=fields["rule"],
            schedule=None if fields["schedule"] is None else parse(fields["schedule"]),
            peak=fields["best_peak"],
            hypers=hypers,
            options=dict(fields["options"]),
            mean=(fields["fresh"] or best)["mean"],
            values=tuple(fields["values"]),
            diverged=fields["budget"]["diverged"],
            peaks=tuple((peak["peak"], peak["mean"]) for peak in fields["peaks"]),
            searched=dict(fields["searched"]),
        )


class Arms(Mapping[str, Arm]):
    """Arms by name, in the order of the study. Made by `Result.arms`.

    >>> Arms("mine", [{"name": "constant"}])["cosine"]
    Traceback (most recent call last):
    tapered.results.arms.UnknownError: study 'mine' has no arm 'cosine'; expected one of constant
    """

    def __init__(self, study: str, arms: Sequence[Mapping[str, Any]]) -> None:
        self._study, self._fields = study, {fields["name"]: fields for fields in arms}
        self._read: dict[str, Arm] = {}

    def __getitem__(self, name: str) -> Arm:
        if name not in self._fields:
            raise UnknownError(f"study {self._study!r} has no arm {name!r}; {suggest(str(name), self._fields)}")
        if name not in self._read:
            self._read[name] = Arm.of(self._fields[name])
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        names = ", ".join(map(repr, self._fields))
        return f"Arms({names})" if len(names) < 400 else f"Arms({names[:400]}...)"
