"""An optimizer of a history beside its shadow, whose rate is written by hand, and what both must show at any moment."""

import itertools
from typing import Any

import torch
from machine_checks import Checked
from machine_config import BASE, Config
from machine_oracle import Curve, Group, Oracle, apart
from machine_tensors import parameter
from torch import nn

from tapered import tensorflow1
from tapered.attach import Clock, attach, of_base


class World(Checked):
    """Ours, theirs, and the oracle between them."""

    def __init__(self, config: Config) -> None:
        self.config, self.source = config, torch.Generator().manual_seed(config.seed)
        second = [] if config.second in ("", "empty") else [config.kind.shapes[0], config.kind.shapes[-1]]
        # a clock that is given schedules of single groups leaves the others alone
        shared = BASE if config.free else config.rate
        self.oracle = Oracle(shared, [self.group(0), self.group(1)][: 1 + bool(config.second)], clock=config.kind.clock)
        self.made = len(self.oracle.groups)
        self.first = [group.follows for group in self.oracle.groups]
        shapes = [list(config.shapes), second][: self.made]
        self.params = [[parameter(name, config.dtype, self.source) for name in names] for names in shapes]
        if config.second == "frozen":
            for param in self.params[1]:
                param.requires_grad_(False)
        self.theirs = [[self.twin(param) for param in group] for group in self.params]
        self.shadow = self.shadowed(self.theirs)
        self.schedulers: tuple[Any, Any] | None = None
        self.dtype = config.dtype
        self.joined, self.updated, self.stale, self.before = set(), set(), set(), {}
        self.replaced: dict[str, Any] = {}  # other numbers for every group, since it was built
        self.pending = False  # something stands in a group that the next step looks at
        self.moved = False  # some were replaced at all
        self.purpose = False  # schedules were set on purpose since the last update
        self.optimizer, self.clock = self.build(self.params)
        self.write()

    def twin(self, param: nn.Parameter) -> nn.Parameter:
        values = param.detach().clone()
        return nn.Parameter(values if self.config.kind.torchs else values.double(), param.requires_grad)

    def group(self, index: int) -> Group:
        config = self.config
        given = config.rate if index == 0 or config.own is None else config.own
        if index and config.over is not None and config.second == "number":
            given = config.own * config.over
        if index and config.second == "own":
            given = given.again()
        others = dict([config.other] if config.other else [])
        scale = config.scale if index else 1.0
        alone = bool(index and config.second == "own") or config.free
        return Group(*apart(given), scale, others=others, alone=alone)

    def dicts(self, params: list[list[nn.Parameter]], first: int, stop: int) -> list[dict[str, Any]]:
        """Groups as a script gives them, numbered by parameter where they are named."""
        counts = itertools.count(sum(map(len, params[:first])))
        return [
            {"params": [(f"p{next(counts)}", p) for p in group] if self.config.named else group}
            for group in params[first:stop]
        ]

    def scaled(self, groups: list[dict[str, Any]], first: int = 0) -> list[dict[str, Any]]:
        for index, group in enumerate(groups, first):
            if self.oracle.groups[index].scale != 1:
                group[self.config.multiplier] = self.oracle.groups[index].scale
        return groups

    def shadowed(self, params: list[list[nn.Parameter]]) -> torch.optim.Optimizer:
        config, groups = self.config, self.scaled(self.dicts(params, 0, len(params)))
        if config.second == "number":
            groups[1]["lr"] = self.rate(config.own)
        return config.kind.shadow(
            groups, lr=self.rate(BASE if isinstance(config.rate, Curve) else config.rate), **config.options
        )

    def rate(self, given: Curve | float) -> Any:
        if isinstance(given, Curve):
            return given.ours
        return torch.tensor(given) if self.config.tensor else given

    def build(
        self, params: list[list[nn.Parameter]], *, clock: bool = True
    ) -> tuple[torch.optim.Optimizer, Clock | None]:
        """As a script would, with what holds now; of late groups it knows nothing yet."""
        config, oracle = self.config, self.oracle
        groups, first = self.scaled(self.dicts(params, 0, self.made)), oracle.groups[0]
        own = {i: g.follows or g.made for i, g in enumerate(oracle.groups[: self.made]) if not self.shares(i)}
        if config.kind.clock:
            for index, group in enumerate(groups):  # a tensor cannot follow two schedules
                base = config.own if index and config.second == "number" and config.over else BASE
                group["lr"] = self.rate(base if isinstance(own.get(index, config.rate), Curve) else own[index])
            optimizer = config.kind.make(groups, lr=BASE, **config.options)
            return optimizer, self.attached(optimizer) if clock else None
        for index, rate in own.items():
            groups[index]["lr"] = self.rate(rate)
        options = dict(config.options)
        for name, curve in first.others.items():
            if name == "beta1" and config.kind.make is not tensorflow1.AdamOptimizer:
                options["betas"] = (curve.ours, self.shadow.param_groups[0]["betas"][1])
            else:
                options[name] = curve.ours
        return config.kind.make(groups, self.rate(oracle.shared), **options, **config.multiplies), None

    def shares(self, index: int) -> bool:
        """A group was given nothing of its own."""
        group, shared = self.oracle.groups[index], self.oracle.shared
        own = index == 1 and self.config.second == "number"  # also where it is the same number
        return group.follows is shared or (group.follows is None and group.made == shared and not own)

    def attached(self, optimizer: torch.optim.Optimizer, step: int | None = None) -> Clock:
        oracle, others = self.oracle, {name: curve.ours for name, curve in self.oracle.groups[0].others.items()}
        if self.config.over and [group.follows for group in oracle.groups[: self.made]] == self.first:
            own = {1: {"lr": self.config.own.ours}} if self.config.second == "own" else {}
            shape = of_base(self.config.over.ours)
            return attach(optimizer, lr=shape, groups=own, step=step, **others, **self.config.multiplies)
        every = self.config.second == "number"  # one schedule for bases that differ is refused
        own = {
            index: {"lr": group.follows.ours}
            for index, group in enumerate(oracle.groups[: self.made])
            if group.follows and (every or not self.shares(index))
        }
        for index in own:  # a script that is run anew says no more of how it came to that
            oracle.groups[index].alone = True
        shared = {"lr": oracle.shared.ours} if isinstance(oracle.shared, Curve) else {}
        return attach(optimizer, **shared, groups=own, step=step, **others, **self.config.multiplies)

    def tensors(self, group: dict[str, Any]) -> dict[str, Any]:
        """Under a clock each group has a rate of its own, where it is a tensor."""
        given = group.get("lr", BASE)
        own = self.config.kind.clock and self.config.tensor and isinstance(given, float)
        return {"lr": torch.tensor(given)} if own else {}
