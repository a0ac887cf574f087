"""To and from torch's own: its state taken over, its sparse gradients, a clock that is taken off and put on again."""

import copy

from hypothesis import strategies as st
from machine_checks import near
from machine_config import BASE
from machine_refusals import Refusals
from machine_tensors import gradient
from machine_updates import operation
from saving import filed


class Torchs(Refusals):
    """The part of a history that crosses over."""

    def counts(self) -> bool:
        """torch's state says how many updates were made, and the groups are those of the beginning."""
        world = self.world
        steps = [float(state["step"]) for state in world.shadow.state.values() if "step" in state]
        own = world.clock is None and world.config.kind.torchs and len(world.groups) == world.made
        return own and self.written() and max(steps, default=-1) == world.oracle.step > 0

    @operation(counts)
    def take_over(self) -> None:
        """The shadow's state, as a script of torch's would have saved it, into one that is built anew."""
        world = self.world
        params = self.relaid("as it was", world.dtype)
        optimizer, clock, scheduler = self.rebuilt(params)
        optimizer.load_state_dict(copy.deepcopy(filed(world.shadow.state_dict())))
        self.goes_on(params, optimizer, clock, scheduler)
        self.built()

    @operation(lambda self: self.world.clock is None, which=st.integers(0, 4))
    def sparse_step(self, which: int) -> None:
        """SGD and Adagrad take it as torch's do, where nothing decays; the others say what to do instead."""
        world, kind = self.world, self.world.config.kind
        tables = [place for place, (p, _) in enumerate(world.pairs()) if p.dim() == 2 and p.requires_grad]
        if not tables or world.doubt:
            return
        place = tables[which % len(tables)]
        grads = [gradient(p, "sparse", world.source) if i == place else None for i, (p, _) in enumerate(world.pairs())]
        self.give(grads)
        index = next(i for i, params in enumerate(world.params) if any(p is world.pairs()[place][0] for p in params))
        group = world.shadow.param_groups[index]
        if kind.name in ("SGD", "Adagrad") and not group["weight_decay"] and not group.get("momentum"):
            self.update(grads, world.optimizer.step)
        elif kind.torchs and kind.name not in ("SGD", "Adagrad"):
            world.refused("a sparse gradient", world.optimizer.step)

    @operation(lambda self: self.world.clock is not None)
    def put_on_again(self) -> None:
        """Detached, the bases stand in the groups; attached at the step, it goes on."""
        world = self.world
        if len(world.groups) != world.made or world.doubt:
            return
        world.clock.detach()
        for index, group in enumerate(world.oracle.groups):
            if group.follows is not None and world.config.second != "number":
                assert near(world.groups[index]["lr"], BASE), f"group {index} is left with {world.groups[index]['lr']}"
        world.clock = world.attached(world.optimizer, world.oracle.step)
        world.oracle.copied()
        world.purpose = True
