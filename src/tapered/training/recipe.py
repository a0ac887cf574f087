"""How a step is made of a problem: gradients accumulated and clipped, parameters in groups.

    minibatches ─► accumulate ─► gradient ─► clip ─► update: each group of parameters at its own hypers

It belongs to the problem, so that all arms of a study are trained by one; study files and `tapered run` state it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from math import isfinite
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
from torch import nn

from tapered.training.devices import WORD, device_of
from tapered.training.fields import named
from tapered.training.shares import shares
from tapered.words import brief

MOST_WORKERS = 256
Precision = Literal["float32", "bfloat16", "float16"]
Match = tuple[str, ...] | Callable[[str], bool]


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


@brief
@named
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

    def param_groups(self, model: nn.Module) -> list[dict[str, Any]]:
        """A model's parameters in groups, as any optimizer takes them: by name, each group with its factor and hypers.

        The factor of a group is its `lr_scale`, which multiplies a rate that follows a schedule: of tapered's
        optimizers, and of torch's with `attach`. Clipping and the like are the loop's.

        Raises:
            ValueError: If a parameter is in several groups, a group has none, or sets beta1 or beta2 alone.

        >>> import tapered
        >>> model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 1))
        >>> groups = Recipe(layer_decay=0.5, groups=[Group("0.*", hypers={"weight_decay": 0.0})]).param_groups(model)
        >>> optimizer = tapered.AdamW(groups, lr=0.1 * tapered.warmup(10))
        >>> [(group["param_names"][0], group["lr_scale"], group["weight_decay"]) for group in optimizer.param_groups]
        [('0.weight', 0.25, 0.0), ('1.weight', 0.5, 0.01), ('2.weight', 1.0, 0.01)]
        """
        named = dict(model.named_parameters())
        found = shares(self, named)
        part = next((name for share in found for name, _ in share.hypers if name in ("beta1", "beta2")), None)
        if part is not None:
            raise ValueError(
                f"a group sets {part!r} alone, and an optimizer's groups have betas; set them in its group"
            )
        return [
            {"params": [(name, named[name]) for name in share.names], "lr_scale": share.lr, **dict(share.hypers)}
            for share in found
        ]
