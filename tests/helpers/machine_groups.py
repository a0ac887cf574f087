"""Groups that come late, parameters that are frozen, and entries of others in groups and states."""

from typing import Any

import torch
from hypothesis import strategies as st
from machine_changes import GROUPS
from machine_config import CURVES, MULTIPLIED
from machine_oracle import Curve
from machine_schedulers import Schedulers
from machine_tensors import parameter
from machine_updates import operation
from torch import nn

NUMBERS = st.sampled_from([0.02, 0.3])
MARKS = ["mine", "max_lr", "swa_lr", "note"]
LATE = ["same", "number", "number", "own", "scaled", "empty", "frozen"]


class Groups(Schedulers):
    """The part of a history that changes groups."""

    def joinable(self) -> bool:
        world = self.world
        return self.calm() and self.written() and len(world.groups) < 5

    @operation(joinable, how=st.sampled_from(LATE), curve=CURVES, number=NUMBERS, shape=st.integers(0, 8))
    def add_a_group(self, how: str, curve: Curve, number: float, shape: int) -> None:  # noqa: PLR0911  # a line for what is not tried
        world, oracle = self.world, self.world.oracle
        shapes, others = world.config.kind.shapes, oracle.others()
        if how == "empty" and world.config.named:
            return  # torch does not take it
        if world.clock is not None and world.config.kind.name == "Adagrad":
            return  # torch's makes no state for it
        if how == "own" and world.clock is not None and hasattr(world.optimizer, "steps"):
            return  # two would follow it, tapered's optimizer itself and its clock
        alone = isinstance(oracle.shared, Curve) and not any(group.follows for group in oracle.groups)
        if how != "own" and world.clock is None and alone:
            return  # all were given numbers since
        if how != "own" and world.config.over and oracle.groups[0].alone:
            return  # over bases, what others follow is not what it would
        if how == "number" and world.clock is not None and oracle.step == 0:
            return  # a clock wants a schedule for it
        params = [] if how == "empty" else [parameter(shapes[shape % len(shapes)], world.dtype, world.source)]
        if how == "frozen":
            params[0].requires_grad_(False)
        given = {"number": number, "own": curve.again()}.get(how)
        if how == "number" and isinstance(others, Curve) and oracle.step and others.at(oracle.step) == 0:
            if world.clock is None:
                self.refuses_to_join(params, number)
            return
        oracle.join(given, MULTIPLIED if how == "scaled" else 1.0, oracle.groups[0].others)
        world.params.append(params)
        world.theirs.append([world.twin(param) for param in params])
        self.joins(given, len(oracle.groups) - 1)

    def refuses_to_join(self, params: list[nn.Parameter], number: float) -> None:
        """No number is a multiple of 0."""
        (group,) = self.world.dicts([*self.world.params, params], len(self.world.params), len(self.world.params) + 1)
        group["lr"] = number
        self.world.refused(
            "a late number where the others are at 0", lambda: self.world.optimizer.add_param_group(group)
        )

    def joins(self, given: Curve | float | None, index: int) -> None:
        """Into both; a clock learns of it when it looks next."""
        world = self.world
        rate = {} if given is None else {"lr": given.ours if isinstance(given, Curve) else given}
        rate |= world.tensors(rate)
        (group,) = world.scaled(world.dicts(world.params, index, index + 1), index)
        world.optimizer.add_param_group(group | rate)
        (group,) = world.scaled(world.dicts(world.theirs, index, index + 1), index)
        rate = {"lr": world.oracle.rate(index)} if given is not None or world.oracle.groups[index].follows else {}
        rate = rate or world.tensors({})  # a tensor that groups share would be written for all of them
        world.shadow.add_param_group(group | world.replaced | rate)
        self.reread()
        if world.clock is not None:
            world.joined.add(index)

    @operation(bad=st.sampled_from(range(9)))
    def nonsense(self, bad: int) -> None:
        world, new = self.world, [nn.Parameter(torch.ones(2))]
        hypers = [
            {"lr": float("nan")},
            {"lr": -1.0},
            {"lr": "fast"},
            {"weight_deacy": 0.1},
            {"groups": {9: {"lr": 0.1}}},
        ]
        groups: list[Any] = [
            {"params": world.params[0][:1]}, {"params": new, "foreach": True}, {"lr": 0.1}, {"params": ["weight"]},
        ]  # fmt: skip
        if bad < len(hypers):
            world.refused("replace by nonsense", lambda: self.verbs.replace(**hypers[bad]))
        elif world.clock is None and not world.config.named:
            world.refused("a group of nonsense", lambda: world.optimizer.add_param_group(groups[bad - len(hypers)]))

    @operation(which=GROUPS, frozen=st.booleans())
    def freeze(self, which: int, frozen: bool) -> None:  # noqa: FBT001  # drawn
        pairs = self.world.pairs()
        if pairs:
            for param in pairs[which % len(pairs)]:
                param.grad = None
                param.requires_grad_(not frozen)

    @operation(which=GROUPS, key=st.sampled_from(MARKS), state=st.booleans())
    def mark(self, which: int, key: str, state: bool) -> None:  # noqa: FBT001  # drawn
        """Entries of others: in a group, or as Lookahead's slow weights in a state, where torch's takes them."""
        world, pairs = self.world, self.world.pairs()
        if not state:
            for group in (
                world.groups[which % len(world.groups)],
                world.shadow.param_groups[which % len(world.groups)],
            ):
                group[key] = "a note" if key == "note" else 0.5
        elif pairs:
            ours, theirs = pairs[which % len(pairs)]
            if world.shadow.state.get(theirs) and world.optimizer.state.get(ours):
                world.optimizer.state[ours]["mine"] = torch.ones_like(ours) if key == "mine" else 3
                world.shadow.state[theirs]["mine"] = torch.ones_like(theirs) if key == "mine" else 3

    @operation(joinable, which=GROUPS, factor=st.sampled_from([0.5, 2.0]))
    def rescale(self, which: int, factor: float) -> None:
        """Another multiplier for a group: the next update uses it, though the group does not show it yet."""
        world, which = self.world, which % len(self.world.groups)
        if world.clock and which in world.joined:
            return  # a clock that has not looked since takes it as the one that the group came with
        for group in (world.groups[which], world.shadow.param_groups[which]):
            group[world.config.multiplier] = factor
        world.oracle.groups[which].scale, world.oracle.changed = factor, True
        world.stale.add(which)

    @operation(lambda self: self.world.clock is None)
    def make_the_state(self) -> None:
        self.world.optimizer.init_state()
        self.world.states = True
