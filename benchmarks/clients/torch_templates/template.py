"""What a template is: one thing that torch's tests check of every optimizer, over inputs, ways, dtypes and variants."""

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import torch
from torch_templates.compare import Tolerance
from torch_templates.database import OURS, Options, flags, inputs, kinds, torchs
from torch_templates.judge import Side, Verdict, judged

WAYS = ("default", "flags False", "foreach=True", "fused=True")
TEMPLATES: dict[str, "Template"] = {}
Inputs = Callable[[Any, str], Mapping[str, Options]]


@dataclass(frozen=True)
class Template:
    """One template; see `template` for what its fields are."""

    name: str
    act: Callable[..., None]
    ways: Sequence[str]
    dtypes: Sequence[torch.dtype]
    variants: Mapping[str, Options]
    only: Callable[[Any, Options], Any]
    inputs: Inputs
    times: float
    device: str
    loop: bool


@dataclass(frozen=True)
class Run:
    """One template with one input of one optimizer, in one way, dtype and variant, on one device."""

    template: Template
    optimizer: str
    input: str
    way: str
    dtype: torch.dtype
    variant: str
    device: str

    def __str__(self) -> str:
        variant = f"[{self.variant}]" if self.variant else ""
        dtype = str(self.dtype).removeprefix("torch.")
        return f"{self.template.name}{variant} {self.optimizer}({self.input}) {self.way} {dtype} {self.device}"

    def judged(self) -> Verdict:
        """Both sides run and compared."""
        theirs, ours = kinds(self.optimizer)
        template = self.template
        sides = [
            self.side(theirs, torchs(self.options("flags False" if template.loop else self.way)), self.dtype),
            self.side(ours, self.options(self.way), self.dtype),
            self.side(theirs, torchs(self.options("flags False")), torch.float64),
        ]
        act = partial(template.act, **template.variants[self.variant])
        return judged(act, *sides, Tolerance(template.times))

    def options(self, way: str) -> Options:
        """The arguments, new."""
        info = OURS[self.optimizer]
        return {**self.template.inputs(info, self.device)[self.input], **(flags(info, self.device, way) or {})}

    def side(self, kind: Any, options: Options, dtype: torch.dtype) -> Side:
        return Side(kind, options, dtype, self.device, OURS[self.optimizer], kinds(self.optimizer)[0], self.dtype)


def template(
    *,
    ways: Sequence[str] = WAYS,
    dtypes: Sequence[torch.dtype] = (torch.float32,),
    variants: Mapping[str, Options] | None = None,
    only: Callable[[Any, Options], Any] = lambda _info, _variant: True,
    given: Inputs = inputs,
    times: float = 1.0,
    device: str = "",
    loop: bool = False,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Keep a function as a template.

    Args:
        ways: keys of `database.WAYS`; those that torch's optimizer has are run.
        dtypes: of the weights.
        variants: further arguments of the function, by name.
        only: which optimizers, by their entry in torch's table, and with which variant.
        given: the inputs of an optimizer on a device.
        times: how many times torch.testing's tolerance the two sides may be apart.
        device: the one kind of device that it is for; any where empty.
        loop: torch's side runs its loop, whatever the way.
    """

    def keep(act: Callable[..., None]) -> Callable[..., None]:
        name = act.__name__
        TEMPLATES[name] = Template(name, act, ways, dtypes, variants or {"": {}}, only, given, times, device, loop)
        return act

    return keep


def runs(device: str) -> Iterator[Run]:
    """Every run of every template on a device."""
    for one in TEMPLATES.values():
        if one.device not in ("", device):
            continue
        for name, info in OURS.items():
            variants = [variant for variant, options in one.variants.items() if one.only(info, options)]
            ways = [way for way in one.ways if flags(info, device, way) is not None]
            for given in one.inputs(info, device) if variants else ():
                for way, dtype, variant in product(ways, one.dtypes, variants):
                    yield Run(one, name, given, way, dtype, variant, device)


def thinned(chosen: Iterable[Run], most: int) -> list[Run]:
    """At most so many of each template, drawn from all inputs, ways, dtypes and variants; the same ones each time."""
    found: dict[str, list[Run]] = {}
    for run in chosen:
        found.setdefault(run.template.name, []).append(run)
    return [run for alike in found.values() for run in random.Random(0).sample(alike, min(most, len(alike)))]


def seeded(*shape: int, of: Side, seed: int = 0) -> torch.Tensor:
    """Normal numbers that do not depend on what was drawn before."""
    return normal(*shape, seed=seed).to(dtype=of.dtype, device=of.device)


def normal(*shape: int, seed: int) -> torch.Tensor:
    """Of 8 significant bits, so that they are the same in every dtype."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return made.bfloat16().double()


def default_only(_info: Any, _device: str) -> dict[str, Options]:
    """No arguments at all."""
    return {"default": {}}
