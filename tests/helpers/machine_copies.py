"""Copies, files, and runs that go on from them."""

import copy
import pickle
import tempfile
from typing import Any

import torch
from hypothesis import strategies as st
from machine_groups import Groups
from machine_oracle import Curve
from machine_tensors import kept, laid, same
from machine_updates import operation
from saving import MEMORY, filed
from torch import nn

from tapered import checkpoint
from tapered.attach import clock_of

ORDERS = st.sampled_from(["attach o", "o attach", "attach o c", "attach c o", "o attach c"])
LAYOUTS = st.sampled_from(["as it was", "as it was", "plain", "turned", "channels last"])
Params = list[list[nn.Parameter]]


class Copies(Groups):
    """The part of a history that goes on with another optimizer."""

    left: Any = None  # the first optimizer that a copy was made of, and how it was left

    def goes_on(self, params: Params, optimizer: Any, clock: Any, scheduler: Any) -> None:
        world = self.world
        self.left = self.left or (world.params, world.optimizer, shown(world.params, world.optimizer))
        world.params, world.optimizer, world.clock = params, optimizer, clock
        world.schedulers = None if scheduler is None else (scheduler, world.schedulers[1])
        world.joined.clear()
        world.oracle.copied()

    def teardown(self) -> None:
        if self.left is not None:
            params, optimizer, before = self.left
            assert same(before, shown(params, optimizer)), "a copy changes what it was made of"
        super().teardown()

    @operation(pickled=st.booleans())
    def copy_all(self, pickled: bool) -> None:  # noqa: FBT001  # drawn
        world = self.world
        every = world.params, world.optimizer, world.schedulers and world.schedulers[0]
        params, optimizer, scheduler = pickle.loads(pickle.dumps(every)) if pickled else copy.deepcopy(every)
        self.goes_on(params, optimizer, clock_of(optimizer), scheduler)

    def rebuilt(self, params: Params, *, clock: bool = True) -> tuple[Any, Any, Any]:
        """As a script would build it anew; what came late is added before anything is loaded."""
        world = self.world
        optimizer, clock = world.build(params, clock=clock)
        for index in range(world.made, len(params)):
            (group,) = world.scaled(world.dicts(params, index, index + 1), index)
            found = world.oracle.groups[index]
            others = world.oracle.others(index)
            own = found.follows is not others if found.follows else found.made != others
            if own and (found.moved or found.follows is None):
                group["lr"] = found.made
            elif found.own and found.follows:
                group["lr"] = found.follows.ours
            optimizer.add_param_group(group | world.tensors(group))
        return optimizer, clock, None if world.schedulers is None else self.by_torch(optimizer)

    def relaid(self, layout: str, dtype: torch.dtype) -> Params:
        def made(param: nn.Parameter) -> nn.Parameter:
            fits = {"turned": param.dim() > 1, "channels last": param.dim() == 4}.get(layout, layout == "plain")
            fits = fits and len(self.world.config.kind.shapes) > 5
            values = param.detach().to(dtype)
            values = laid(values, layout).clone() if fits else values.clone()
            return nn.Parameter(values, param.requires_grad)

        return [[made(param) for param in group] for group in self.world.params]

    @operation(order=ORDERS, layout=LAYOUTS, other=st.booleans(), between=st.booleans())
    def resume(self, order: str, layout: str, other: bool, between: bool) -> None:  # noqa: FBT001  # drawn
        """Saved to a file; loaded into one that is built as the first was, perhaps of another layout or dtype."""
        world, kind = self.world, self.world.config.kind
        late = world.oracle.groups[world.made :]
        if any(group.follows and not group.moved for group in late):
            order = order.replace("o attach", "attach o")  # attach, said of all, would overrule it, and refuses
        state = filed({"o": world.optimizer.state_dict(), "c": world.clock and world.clock.state_dict()})
        saved = world.schedulers and filed(world.schedulers[0].state_dict())
        if between and world.clock is None and kind.torchs:  # by way of torch's own
            torchs = world.shadowed(world.theirs)
            torchs.load_state_dict(state["o"])
            state["o"] = filed(torchs.state_dict())
        if other and world.schedulers is None and world.dtype != torch.bfloat16:
            world.dtype = torch.float64 if world.dtype == torch.float32 else torch.float32
            self.shadow_anew()
        params = self.relaid(layout, world.dtype)
        optimizer, clock, scheduler = self.rebuilt(params, clock=order.startswith("attach"))
        for part in order.split() if kind.clock else ["o"]:
            if part == "attach":
                clock = clock or world.attached(optimizer)
            elif part == "o":
                self.loads(optimizer, state[part])
            else:
                clock.load_state_dict(copy.deepcopy(state[part]))
        if scheduler is not None:
            scheduler.load_state_dict(saved)
        self.goes_on(params, optimizer, clock, scheduler)
        world.purpose = world.purpose or (kind.clock and "c" in order.split())
        self.built()

    def loads(self, optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
        """A late number that fell with others, which are numbers by now, falls with nothing where it is built anew."""
        if not any(map(self.lost, range(len(self.world.oracle.groups)))):
            optimizer.load_state_dict(copy.deepcopy(state))
            return
        try:
            optimizer.load_state_dict(copy.deepcopy(state))
        except ValueError as error:
            assert "differs" in str(error), error  # noqa: PT017  # or it is not refused
        else:
            raise AssertionError("not refused: a late number that falls with nothing here, and fell")
        optimizer.load_state_dict(copy.deepcopy(state), policy="saved")

    def lost(self, index: int) -> bool:
        """A script that is built anew says of none of the groups before this late number that it follows anything."""
        world, groups = self.world, self.world.oracle.groups
        said = [group for i, group in enumerate(groups[:index]) if i < world.made or group.own]
        return world.clock is None and groups[index].moved and not any(group.follows for group in said)

    def shadow_anew(self) -> None:
        """In another dtype, as torch loads it; a rule's is float64 in any case."""
        world = self.world
        if world.config.kind.torchs:
            theirs = [[nn.Parameter(p.detach().to(world.dtype), p.requires_grad) for p in g] for g in world.theirs]
            shadow = world.shadowed(theirs)
            shadow.load_state_dict(copy.deepcopy(world.shadow.state_dict()))
            world.theirs, world.shadow = theirs, shadow

    @operation()
    def checkpoint(self) -> None:
        """As `resume`, by tapered's own files."""
        world = self.world
        params = self.relaid("as it was", world.dtype)
        optimizer, clock, scheduler = self.rebuilt(params)
        ours, theirs = (
            {"model": modules(p), "optimizer": o} for p, o in ((world.params, world.optimizer), (params, optimizer))
        )
        if world.schedulers is not None:
            ours["scheduler"], theirs["scheduler"] = world.schedulers[0], scheduler
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            checkpoint.save(folder, world.oracle.step, generators=False, **ours)
            for param in (p for group in params for p in group):
                param.data.zero_()
            checkpoint.resume(folder, generators=False, hypers=self.hypers(), **theirs)
            checkpoint.release(folder)
        self.goes_on(params, optimizer, clock, scheduler)
        self.built()

    def built(self) -> None:
        """What a group gets that comes late is said by the constructor again."""
        world = self.world
        world.doubt, world.replaced = False, {}
        if not isinstance(world.oracle.shared, Curve):
            world.shadow.defaults["lr"] = world.rate(world.oracle.shared)

    def hypers(self) -> str:
        """The saved numbers hold where they were moved; nothing need be said where torch's scheduler moved them."""
        world = self.world
        written = any(group.number != group.made for group in world.oracle.groups)
        return "saved" if world.moved or (written and world.schedulers is None) else "same"


def modules(params: Params) -> nn.Module:
    model = nn.Module()
    model.groups = nn.ModuleList(nn.ParameterList(group) for group in params)
    return model


def shown(params: Params, optimizer: torch.optim.Optimizer) -> Any:
    groups = [{key: kept(value) for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    return tuple(kept(p) for group in params for p in group), tuple(groups)
