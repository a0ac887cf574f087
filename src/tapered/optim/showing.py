"""What a clock shows of itself on a line, and it and an optimizer in a notebook: groups and their schedules.

groups as they stand, what they follow, the step ─► rows ─┬─► Clock of SGD(step 9: lr 0.1 by linear(0.1, steps=9), ...)
                                                          ╰─► a table, and the path of a rate with where it is now
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch.nn.parameter import UninitializedParameter

from tapered.optim.freezing import Freezes, Groups
from tapered.optim.hypers import NAMES
from tapered.pictures import shorter
from tapered.pictures.fragment import fragment
from tapered.schedules import Schedule, picture
from tapered.schedules.controllers import steered
from tapered.words import LETTERS, counted, plain, shortened

GROUPS, NAME, TEXT, PICTURES = 8, 40, 160, 2  # shown at most: groups, letters of a name and of a cell, paths
MOST = 20_000  # bytes in a notebook
KNOWN = {"params", "param_names", "name", "lr", "initial_lr", "schedules", "step", "multiplier", "joined"}
KNOWN |= {"decoupled_weight_decay"}  # the class says it
HEADER = ("group", "parameters", "lr now", "its schedule", "other hypers")


class Shown(NamedTuple):
    """A group as it is shown."""

    name: str
    parameters: str
    lr: str
    schedule: str
    beside: str


class Shows(Freezes):
    """Shows what stands in the groups, and computes nothing but a rate."""

    def _followed(self) -> Sequence[Mapping[str, Schedule]]:
        """What each group follows, as it is known; nothing is checked or changed for it."""
        raise NotImplementedError

    def __repr__(self) -> str:
        try:
            return self._line()
        except Exception:  # noqa: BLE001  # one that is half made, in a debugger or a message of torch's
            return object.__repr__(self)

    def _line(self) -> str:
        groups, step = self._standing()
        found = list(self._shown(groups))
        said = [f"step {step:,}", *([counted(len(found), "group")] if len(found) > 1 else [])]
        same = len({row[2:] for row in found}) == 1
        each = [_said(row, "" if same else row.name) for row in found[: 1 if same else GROUPS]]
        text = f"{_name(self)}({', '.join(said)}: {'; '.join(each)})"
        return text if len(text) <= LETTERS else f"{text[: LETTERS - 4]}...)"

    def _repr_html_(self) -> str:
        groups, step = self._standing()
        every = list(groups)
        lead = [f"{_name(self)} at step {step:,}"]
        caption = counted(len(every), "group") + (f", of which the first {GROUPS}:" if len(every) > GROUPS else "")
        table = caption, [HEADER, *self._shown(every[:GROUPS])]
        drawn = ""
        for path in self._paths():
            with suppress(Exception):  # a function of somebody's own may refuse
                more = drawn + picture.svg(path, step)
                drawn = more if len(fragment([], lead=lead, picture=more, tables=[table]).encode()) < MOST else drawn
        return fragment([], lead=lead, picture=drawn, tables=[table])

    def _shown(self, groups: Groups) -> Iterator[Shown]:
        for i, (group, follows) in enumerate(zip(groups, self._followed(), strict=False)):
            params = group["params"]
            frozen = " (frozen)" if params and not any(param.requires_grad for param in params) else ""
            rate = follows.get("lr", group["lr"])
            schedule = str(rate) if isinstance(rate, Schedule) else "a number"
            count = sum(p.numel() for p in params if not isinstance(p, UninitializedParameter))
            beside = shorter("; ".join(_beside(group, follows)), TEXT)
            name = shorter(str(group.get("name", i)), NAME) + frozen
            yield Shown(name, f"{count:,}", _value(group["lr"]), shorter(shortened(schedule), TEXT), beside)

    def _paths(self) -> list[Schedule]:
        """The rates that are drawn, the first of them."""
        every = (follows["lr"] for follows in self._followed() if "lr" in follows)
        return list(dict.fromkeys(path for path in every if not isinstance(path, steered)))[:PICTURES]


def _name(value: Any) -> str:
    own, beside = type(value).__name__, getattr(value, "optimizer", None)
    return own if beside is None else f"{own} of {type(beside).__name__}"


def _said(row: Shown, name: str) -> str:
    by = "" if row.schedule == "a number" else f" by {row.schedule}"
    return f"{name + ': ' if name else ''}lr {row.lr}{by}{', ' + row.beside if row.beside else ''}"


def _beside(group: Mapping[str, Any], follows: Mapping[str, Schedule]) -> Iterator[str]:
    """The other hypers, what they follow, and the options that are on."""
    # weight_decay 0.05 by linear(0.1, steps=100); betas (0.9, 0.999) (beta1 by cosine_decay(...))
    for key, value in group.items():
        if key in KNOWN or value is None or value is False:
            continue
        said = key if value is True else f"{key} {_value(value)}"
        if key in follows:
            said += f" by {follows[key]}"
        elif by := [f"{name} by {follows[name]}" for name in NAMES.get(key, ()) if name in follows]:
            said += f" ({', '.join(by)})"
        yield shorter(shortened(said), TEXT)


def _value(value: Any) -> str:
    """A value of a group in few letters; what lies on another device stays there."""
    if isinstance(value, torch.Tensor) and value.numel() == 1:
        return plain(float(value), 6) if value.device.type == "cpu" else f"on {value.device}"
    if isinstance(value, (int, float)):
        return plain(float(value), 6)
    if isinstance(value, (tuple, list)):
        return f"({', '.join(_value(each) for each in value)})"
    return shorter(str(value), TEXT) if isinstance(value, (str, Schedule)) else f"a {type(value).__name__}"
