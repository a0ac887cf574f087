"""The rules that an arm may name, and their structural choices."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from tapered import rules
from tapered.words import suggest

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


@dataclass(frozen=True)
class Own:
    """In the place of a rule what makes the runs of an arm of a script others than those of another: its own words."""

    args: tuple[str, ...] = ()

    @property
    def hypers(self) -> Mapping[str, float]:
        """None that are known here."""
        return {}


def check_option(name: str, value: Any, hint: Any) -> None:
    """One of a rule's structural choices is of the kind that its annotation says."""
    choices = get_args(hint)
    if choices:
        if value not in choices:
            raise ValueError(f"options.{name}={value!r} is unknown; {suggest(str(value), choices)}")
    elif hint is bool:
        if not isinstance(value, bool):
            raise ValueError(f"options.{name}={value!r} is neither true nor false")
    elif isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
        raise ValueError(f"options.{name}={value!r} is no number of at least 0; try {name} = 0.1")
