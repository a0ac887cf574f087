"""How a step is made of a problem: gradients accumulated and clipped, parameters in groups.

    minibatches ─► accumulate ─► gradient ─► clip ─► update: each group of parameters at its own hypers

It belongs to the problem, so that all arms of a study are trained by one; study files and `tapered run` state it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal, Self, get_args

import numpy as np
import torch

from tapered.training.devices import WORD, device_of
from tapered.words import suggest

MOST_WORKERS = 256
Precision = Literal["float32", "bfloat16", "float16"]
Match = tuple[str, ...] | Callable[[str], bool]
NUMBERED = re.compile(r"^(.*?)\.?(\d+)\.")


@dataclass(frozen=True, eq=False)
class Group:
    """Parameters that are updated at hypers of their own.

    Args:
        match: Patterns of their names, as `model.named_parameters()` has them (`"encoder.*"`, `"*.bias"`), or a
            function of the name.
        lr: What the run's rate is multiplied by.
        hypers: Other hypers of the rule -> the number that holds in the place of the run's.

    Raises:
        TypeError, ValueError: no pattern, or a number that cannot be.

    >>> Group("*.bias", hypers={"weight_decay": 0.0}).takes("encoder.bias")
    True
    """

    match: str | Match
    lr: float = 1.0
    hypers: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what matches nothing, and numbers that are none."""
        match = (self.match,) if isinstance(self.match, str) else self.match
        if not callable(match):
            match = tuple(match)
            if not match or not all(isinstance(pattern, str) and pattern for pattern in match):
                raise TypeError(f'got match={self.match!r}; expected patterns of names; try match=["*.bias"]')
        object.__setattr__(self, "match", match)
        object.__setattr__(self, "hypers", MappingProxyType(dict(self.hypers)))
        for name, value in {"lr": self.lr, **self.hypers}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
                raise TypeError(f"got {name}={value!r} for the group {self}; expected a number; try {name}=0.1")
        if self.lr < 0:
            raise ValueError(f"got lr={self.lr!r} for the group {self}; expected what the rate is multiplied by, >= 0")

    def takes(self, name: str) -> bool:
        """Whether a parameter of this name is in it."""
        if callable(self.match):
            return bool(self.match(name))
        return any(fnmatchcase(name, pattern) for pattern in self.match)

    def __str__(self) -> str:
        if callable(self.match):
            return getattr(self.match, "__qualname__", repr(self.match))
        return ", ".join(self.match)


@dataclass(frozen=True, eq=False)
class Recipe:
    """What makes an update of a problem, beside its rule.

    Args:
        clip_norm: The largest norm that the gradient of all parameters together may have: a longer one is shortened,
            as `torch.nn.utils.clip_grad_norm_` does, g <- g * min(1, clip_norm / (norm + 1e-6)).
        clip_value: The largest size of an element of the gradient, as `clip_grad_value_`.
        accumulate: Minibatches whose gradients make one update: a step sees `accumulate * batch_size` examples, and
            its gradient is the mean, by the workload's `weight` where it has one. Layers that look at a batch
            (BatchNorm) look at each minibatch.
        groups: Parameters with hypers of their own; each parameter may be in one, and the others follow the run's.
        layer_decay: The rate falls by this factor from layer to layer, from the head, which has the run's, down to what
            comes before the first. Layers are those of the numbered modules that come first in the names (blocks.0,
            blocks.1, ...).
        workers: Processes that fetch items ahead; 0 fetches each minibatch when its step comes. No number depends on
            it.
        precision: What forward and loss are computed in, in training and evaluation: "float32" as the model is;
            "bfloat16" and "float16" by `torch.autocast`, of which float16 has torch's `GradScaler`: a step whose
            gradients are not finite at its scale is skipped, and counts as no update.
        params: "bfloat16" for parameters and buffers of that dtype, as `model.to(torch.bfloat16)`; what a model is
            called with is cast as well (an `objective` casts its batch itself). None leaves them as they are.
        device: What it is trained on: "cpu", "cuda" (the first), "cuda:1", "mps", or "auto", the first that is here.
            Initial weights are drawn on the processor, the same for each.
        compile: Whether the model is compiled by `torch.compile`, each row by itself; numbers then differ from the
            model's by rounding, and dropout draws others, which follow seed and step as well.

    Raises:
        TypeError, ValueError: If a field is not as above.

    >>> Recipe(clip_norm=1.0, accumulate=4).differing()
    {'clip_norm': 1.0, 'accumulate': 4}
    """

    clip_norm: float | None = None
    clip_value: float | None = None
    accumulate: int = 1
    groups: tuple[Group, ...] = ()
    layer_decay: float | None = None
    workers: int = 0
    precision: Precision = "float32"
    params: Literal["bfloat16"] | None = None
    device: str = "cpu"
    compile: bool = False

    def __new__(cls, *_: Any, **given: Any) -> Self:
        """Refuse fields that there are not, by name."""
        known = [each.name for each in fields(cls)]
        for name in given.keys() - set(known):
            raise TypeError(f"{name!r} is no field of a Recipe; {suggest(name, known)}")
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        for name in ("clip_norm", "clip_value", "layer_decay"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and isfinite(value) and value > 0):
                raise ValueError(f"got {name}={value!r}; expected a positive number; try {name}=1.0")
        if self.clip_norm is not None and self.clip_value is not None:
            raise ValueError(
                f"got clip_norm={self.clip_norm!r} and clip_value={self.clip_value!r}; expected one of them; leave one "
                f"out"
            )
        if isinstance(self.accumulate, bool) or not isinstance(self.accumulate, int) or self.accumulate < 1:
            raise ValueError(f"got accumulate={self.accumulate!r}; expected a whole number >= 1; try accumulate=4")
        if isinstance(self.workers, bool) or not isinstance(self.workers, int) or not 0 <= self.workers <= MOST_WORKERS:
            raise ValueError(
                f"got workers={self.workers!r}; expected how many processes fetch items, 0 to {MOST_WORKERS}; try "
                f"workers=2"
            )
        self._check_dtypes()
        if not isinstance(self.compile, bool):
            raise TypeError(f"got compile={self.compile!r}; expected true or false; try compile=True")
        if not (isinstance(self.device, str) and WORD.fullmatch(self.device)):
            raise ValueError(
                f'got device={self.device!r}; expected "auto", "cpu", "cuda", "cuda:1" or "mps"; try device="auto"'
            )
        groups = tuple(self.groups)
        if not all(isinstance(group, Group) for group in groups):
            raise TypeError(f'got groups={self.groups!r:.80}; expected Groups; try groups=[Group("*.bias", lr=0.1)]')
        object.__setattr__(self, "groups", groups)

    def _check_dtypes(self) -> None:
        if self.precision not in get_args(Precision):
            raise ValueError(
                f"got precision={self.precision!r}; expected one of {', '.join(get_args(Precision))}; try "
                f'precision="bfloat16"'
            )
        if self.params not in (None, "bfloat16"):
            raise ValueError(
                f'got params={self.params!r}; expected "bfloat16", or nothing for those of the model; a model of '
                f"another dtype is built so: lambda: make_model().double()"
            )
        if self.params is not None and self.precision == "float16":
            raise ValueError(
                'got params="bfloat16" and precision="float16", whose scaler is for gradients of more bits; try '
                'precision="bfloat16"'
            )

    @cached_property
    def place(self) -> torch.device:
        """The device that it is trained on.

        Raises:
            DeviceError: If it is not here.
        """
        return device_of(self.device)

    @property
    def alone(self) -> str | None:
        """Why rows are trained one after another, a clause; None where they may be stacked.

        >>> Recipe().alone is None, Recipe(precision="float16").alone
        (True, 'in float16 each row has a scale of its own, which skips other steps')
        """
        if self.precision == "float16":
            return "in float16 each row has a scale of its own, which skips other steps"
        if self.compile:
            return 'compile = true compiles the model by itself, and rows are compiled by mode = "rows compiled"'
        return None

    def differing(self) -> dict[str, Any]:
        """The fields that are not as they are by default: what numbers depend on, as text can hold it."""
        found = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "workers"}
        plain = type(self)()
        return {name: value for name, value in found.items() if value != getattr(plain, name)}

    def text(self) -> str:
        """What numbers depend on, whatever device they are made on; empty for the default."""
        found = self.differing()
        found.pop("device", None)
        if "groups" in found:
            found["groups"] = [(str(group), group.lr, sorted(group.hypers.items())) for group in self.groups]
        return repr(sorted(found.items())) if found else ""

    def having(self, **changes: Any) -> "Recipe":
        """The same but for fields that are not None.

        >>> Recipe(accumulate=2).having(accumulate=None, clip_norm=1.0).differing()
        {'clip_norm': 1.0, 'accumulate': 2}
        """
        return replace(self, **{name: value for name, value in changes.items() if value is not None})


@dataclass(frozen=True)
class Share:
    """Parameters of one group.

    Args:
        names: Their names.
        lr: What the rate is multiplied by.
        hypers: What holds in the place of the run's hypers.
    """

    names: tuple[str, ...]
    lr: float = 1.0
    hypers: tuple[tuple[str, float], ...] = ()

    def of(self, tables: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """The hypers of the run at each step as they are for these parameters.

        Raises:
            ValueError: If the run's rule has no such hyper.
        """
        unknown = [name for name, _ in self.hypers if name not in tables]
        if unknown:
            known = sorted(name for name in tables if name != "lr")
            raise ValueError(f"a group sets {unknown[0]!r}, which the rule does not have; {suggest(unknown[0], known)}")
        found = dict(tables) | {name: np.full_like(tables[name], value) for name, value in self.hypers}
        return found if self.lr == 1 else {**found, "lr": found["lr"] * self.lr}


def shares(recipe: Recipe, names: Iterable[str]) -> tuple[Share, ...]:
    """The parameters by what they are updated at, each in one share, in the order of their first ones.

    Raises:
        ValueError: If a parameter is in several groups, or a group has none.

    >>> shares(Recipe(groups=(Group("*bias", lr=0.1),)), ["0.weight", "0.bias", "1.weight"])
    (Share(names=('0.weight', '1.weight'), lr=1.0, hypers=()), Share(names=('0.bias',), lr=0.1, hypers=()))
    """
    names = list(names)
    decays = _layers(recipe.layer_decay, names)
    found: dict[tuple[float, tuple[tuple[str, float], ...]], list[str]] = {}
    taken: set[int] = set()
    for name in names:
        mine = [i for i, group in enumerate(recipe.groups) if group.takes(name)]
        if len(mine) > 1:
            both = " and ".join(repr(str(recipe.groups[i])) for i in mine[:2])
            raise ValueError(f"the parameter {name!r} is in the groups {both}; expected one for each; narrow a match")
        taken |= set(mine)
        group = recipe.groups[mine[0]] if mine else Group(lambda _: True)
        key = (group.lr * decays[name], tuple(sorted(group.hypers.items())))
        found.setdefault(key, []).append(name)
    idle = [str(group) for i, group in enumerate(recipe.groups) if i not in taken]
    if idle:
        raise ValueError(
            f"no parameter is in the group {idle[0]!r}; expected patterns of {', '.join(names[:8])}"
            f"{', ...' * (len(names) > 8)}; try match = {names[0]!r}"
        )
    return tuple(Share(tuple(mine), lr, hypers) for (lr, hypers), mine in found.items())


def _layers(decay: float | None, names: list[str]) -> dict[str, float]:
    """What the rate of each parameter is multiplied by, for the depth of its layer.

    Raises:
        ValueError: If no names are numbered.
    """
    if decay is None:
        return dict.fromkeys(names, 1.0)
    matches = {name: match for name in names if (match := NUMBERED.match(name))}
    if not matches:
        raise ValueError(
            f"got layer_decay={decay!r}, but no parameter is of a numbered layer: {', '.join(names[:8])}; state "
            f"the groups: groups=[Group('encoder.*', lr=0.1)]"
        )
    prefix = next(iter(matches.values())).group(1)
    numbers = {name: int(match.group(2)) for name, match in matches.items() if match.group(1) == prefix}
    first = names.index(next(iter(numbers)))
    above = any(name not in numbers for name in names[first:])  # a head
    top = max(numbers.values()) + above
    depth = {name: -1 if i < first else top for i, name in enumerate(names)} | numbers
    return {name: decay ** (top - depth[name]) for name in names}
