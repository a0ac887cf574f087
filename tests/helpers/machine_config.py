"""What a history begins with: an optimizer, its options, its groups, and what each hyper follows; all drawn."""

import inspect
from dataclasses import dataclass, fields
from typing import Any

import torch
from hypothesis import strategies as st
from machine_kinds import Kind
from machine_oracle import Curve, always, cosine, exponential, pieces, sloped, warm

CURVES = st.sampled_from(
    [cosine(0.1, 12), sloped(0.2, 0.0, 6), warm(0.1, 3), exponential(0.1), always(0.05), pieces(0.1, 2, 5),
     sloped(0.05, 0.15, 20)]
)  # fmt: skip
NUMBERS = st.sampled_from([0.1, 0.03, 0.0])
OTHERS = {
    "weight_decay": [sloped(0.0, 0.2, 8), cosine(0.1, 30)],
    "momentum": [sloped(0.5, 0.9, 10)],
    "beta1": [sloped(0.9, 0.5, 10)],
}
BASE = 0.1  # what an optimizer under a clock was made with
MULTIPLIED = 0.25


@dataclass(frozen=True, repr=False)
class Config:
    """Group 0 follows `rate`; group 1, where there is one, something of its own, or the same."""

    kind: Kind
    options: dict[str, Any]
    rate: Curve | float
    shapes: tuple[str, ...]
    second: str = ""
    own: Curve | float | None = None
    over: Curve | None = None  # a clock's: each group's own base times this
    other: tuple[str, Curve] | None = None
    multiplier: str = "lr_scale"
    named: bool = False
    tensor: bool = False  # a number is the caller's own tensor
    dtype: torch.dtype = torch.float32
    seed: int = 0

    def __repr__(self) -> str:
        given = ((field.name, getattr(self, field.name), field.default) for field in fields(self))
        return f"Config({', '.join(f'{name}={value!r}' for name, value, default in given if value != default)})"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:  # noqa: ARG002, FBT001  # hypothesis's call
        printer.text(repr(self))

    @property
    def scale(self) -> float:
        return MULTIPLIED if self.second == "scaled" else 1.0

    @property
    def free(self) -> bool:
        """A clock is given the schedules of single groups, and leaves group 1 alone."""
        return self.kind.clock and self.second == "number" and self.over is None

    @property
    def multiplies(self) -> dict[str, str]:
        return {} if self.multiplier == "lr_scale" else {"multiplier": self.multiplier}


def takes_multiplier(kind: Kind) -> bool:
    return kind.clock or "multiplier" in inspect.signature(kind.make).parameters


@st.composite
def configs(draw: st.DrawFn, kinds: tuple[Kind, ...]) -> Config:
    kind = draw(st.sampled_from(kinds))
    options = draw(st.sampled_from(kind.options))
    rate = draw(CURVES if kind.clock else CURVES | NUMBERS)
    second = draw(st.sampled_from(["", "", "same", "own", "number", "scaled", "empty", "frozen"]))
    own = draw(CURVES) if second == "own" else draw(NUMBERS) if second == "number" else None
    names = [name for name in kind.others if fits(name, options)]
    name = draw(st.sampled_from(["", "", *names]))
    over = rate if kind.clock and draw(st.sampled_from([False, False, True])) else None
    return Config(
        kind,
        options,
        rate if over is None else BASE * over,
        tuple(draw(st.lists(st.sampled_from(kind.shapes), min_size=1, max_size=3))),
        second,
        own,
        over,
        (name, draw(st.sampled_from(OTHERS[name]))) if name else None,
        draw(st.sampled_from(["lr_scale", "lr_mult"])) if second == "scaled" and takes_multiplier(kind) else "lr_scale",
        draw(st.booleans()) and second != "empty",  # torch takes no names of an empty group
        draw(st.booleans()) and (kind.clock or not isinstance(rate, Curve)) and not over and not options.get("foreach"),
        draw(st.sampled_from([torch.float32, torch.float32, torch.float64, torch.bfloat16][: 4 if kind.torchs else 3])),
        draw(st.integers(0, 999)),
    )


def fits(name: str, options: dict[str, Any]) -> bool:
    """A momentum that moves needs a buffer."""
    return name != "momentum" or "momentum" in options
