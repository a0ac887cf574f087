"""What must not be loaded, and what must not be done while the weights hold an average."""

import contextlib
import copy
import pickle
import tempfile
from typing import Any

import torch
from hypothesis import strategies as st
from machine_checks import REFUSALS, close, in_words
from machine_copies import Copies, modules
from machine_updates import operation
from saving import MEMORY

import tapered
from tapered import checkpoint

OTHER = "linear(0.7, 0.3, steps=77)"


class Refusals(Copies):
    """The part of a history that must not happen."""

    @operation(lambda self: self.calm(), bad=st.sampled_from(["schedule", "schedule", "groups", "shape", "garbage"]))
    def load_what_does_not_fit(self, bad: str) -> None:
        world = self.world
        if world.pending:
            return  # a clock does not know any more what a late group's last rate was
        made = world.oracle.groups[: world.made]  # a late group goes on as it was left, whatever that is
        followed = [i for i, group in enumerate(made) if group.follows is not None]
        if (bad == "schedule" and not followed) or (world.clock is not None and (bad != "schedule" or world.purpose)):
            return  # schedules of a clock that were set on purpose since the last update hold
        state = self.spoilt(copy.deepcopy(world.optimizer.state_dict()), bad, followed)
        if state is None:
            return
        if world.clock is None:
            world.refused(f"a state with another {bad}", lambda: world.optimizer.load_state_dict(state))
        else:  # torch has loaded before a clock is asked
            self.loads_or_says_so(state)
        world.doubt = True
        world.joined.clear()

    def spoilt(self, state: dict[str, Any], bad: str, followed: list[int]) -> dict[str, Any] | None:
        groups = state["param_groups"]
        if bad == "schedule":
            found = groups[followed[0]]
            (found if self.world.clock is None else found["clock"])["schedules"]["lr"] = OTHER
        elif bad == "groups":
            groups.append({**groups[0], "params": [99]})
        elif bad == "garbage":
            return {"state": {}}
        else:
            for entries in state["state"].values():
                for name, value in entries.items():
                    unused = name == "momentum_buffer" and not self.world.groups[0].get("momentum")
                    if isinstance(value, torch.Tensor) and value.dim() and name != "mine" and not unused:
                        entries[name] = torch.ones(7, 7, 7)
                        return state
            return None
        return state

    def loads_or_says_so(self, state: dict[str, Any]) -> None:
        try:
            self.world.optimizer.load_state_dict(state)
        except REFUSALS as error:
            in_words(error)

    @operation(lambda self: self.world.doubt, how=st.sampled_from(["load", "replace"]))
    def recover(self, how: str) -> None:
        """A state that fits, or schedules that are set on purpose."""
        world = self.world
        moved = any(group.moved for group in world.oracle.groups)
        if how == "load" or moved or not self.written():
            world.optimizer.load_state_dict(copy.deepcopy(world.optimizer.state_dict()))
            world.oracle.copied()
        else:
            follows = [g.number if g.follows is None else g.follows.ours for g in world.oracle.groups]
            own = world.clock is None  # a clock lets groups be that follow nothing
            known = zip(follows, world.oracle.groups, strict=True)
            groups = {i: {"lr": rate} for i, (rate, group) in enumerate(known) if own or group.follows is not None}
            self.verbs.replace(groups=groups, counted="start")
            world.moved = world.moved or world.config.tensor
            world.purpose = True  # a clock lets them hold over what is loaded before the next update
            for group, theirs in zip(world.oracle.groups, world.shadow.param_groups, strict=True):
                theirs["lr"] = theirs["lr"] if group.follows else group.number
        world.doubt = False
        world.joined.clear()

    @operation(lambda self: self.world.clock is None, raises=st.booleans())
    def readout(self, raises: bool) -> None:  # noqa: FBT001  # drawn
        world = self.world
        before = world.snapshot()
        with contextlib.suppress(KeyError), world.optimizer.readout():
            self.averages()
            if self.lent():
                self.inside()
            if raises:
                raise KeyError("evaluation")
        world.unchanged(before, "a readout")

    def lent(self) -> bool:
        """The weights are an average, not those that are trained."""
        averages = self.world.config.kind.make is tapered.ScheduleFreeAdamW
        return averages and any(self.world.optimizer.state.get(param) for param, _ in self.world.pairs())

    def averages(self) -> None:
        """The weights to evaluate: those of the shadow, or of its rule."""
        world = self.world
        for place, (ours, theirs) in enumerate(world.pairs()):
            state, wanted = world.shadow.state.get(theirs), theirs.detach()
            if state and not world.config.kind.torchs:
                wanted = world.shadow.rule.readout(wanted, state)
            close(ours, wanted, f"parameter {place} in a readout")

    def inside(self) -> None:
        world, optimizer = self.world, self.world.optimizer
        self.give(self.fresh(0, world.config.kind.grads[0]))
        state = {"state": {}, "param_groups": []}
        with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
            refused: dict[str, Any] = {
                "a step": optimizer.step,
                "a state": optimizer.state_dict,
                "a load": lambda: optimizer.load_state_dict(state),
                "a pickle": lambda: pickle.dumps(optimizer),
                "a copy": lambda: copy.deepcopy(optimizer),
            }
            for what, call in refused.items():
                world.refused(f"{what} inside readout", call)
            try:
                checkpoint.save(folder, 1, generators=False, model=modules(world.params), optimizer=optimizer)
            except (checkpoint.CheckpointError, RuntimeError):
                pass
            else:
                raise AssertionError("a checkpoint was saved inside readout")
