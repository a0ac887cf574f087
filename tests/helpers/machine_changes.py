"""Rates and other hypers changed on the way: replaced, extended, written by hand."""

from typing import Any

import torch
from hypothesis import strategies as st
from machine_checks import near
from machine_config import CURVES, NUMBERS
from machine_oracle import Curve, always
from machine_skips import Skips
from machine_updates import operation

GROUPS = st.integers(0, 4)
COUNTED = st.sampled_from(["now", "start", None])


class Changes(Skips):
    """The part of a history that changes what the hypers follow."""

    def calm(self) -> bool:
        return not self.world.doubt

    def written(self) -> bool:
        """Rates are written by nobody else."""
        return self.world.schedulers is None

    @property
    def verbs(self) -> Any:
        return self.world.clock or self.world.optimizer

    @operation(written, which=st.integers(-2, 2), given=CURVES | NUMBERS, counted=COUNTED)
    def replace(self, which: int, given: Curve | float, counted: str | None) -> None:
        world, oracle = self.world, self.world.oracle
        every = which < 0 or which >= len(oracle.groups)
        if every and world.clock and any(group.own for group in oracle.groups):
            return  # groups made with other rates: refused unless of_base says what is meant
        given = always(given) if world.clock and not isinstance(given, Curve) else given
        given = given.again() if isinstance(given, Curve) else given
        hyper = given.ours if isinstance(given, Curve) else given

        def call() -> None:
            if every:
                self.verbs.replace(lr=hyper, counted=counted)
            else:
                self.verbs.replace(groups={which: {"lr": hyper}}, counted=counted)

        moves = isinstance(given, Curve) and oracle.placed(given, "now") is not given
        if moves and counted is None:
            world.refused("replace without saying from when", call)
            return
        call()
        world.doubt, world.purpose = False, True
        # a script that is built anew lets a late number follow what the others follow now
        world.moved = world.moved or world.config.tensor or any(group.moved for group in oracle.groups)
        world.joined.clear()
        for index in range(len(oracle.groups)) if every else [which]:
            oracle.replace(index, given, counted or "start", alone=not every)
            world.shadow.param_groups[index]["lr"] = oracle.rate(index)
        if every:
            oracle.shared = oracle.groups[0].follows or oracle.groups[0].number
            world.replaced |= {"lr": oracle.groups[0].number}

    @operation(lambda self: self.other() != "", value=st.sampled_from([0.0, 0.1, 0.5]))
    def replace_another(self, value: float) -> None:
        """momentum across 0, betas, weight decay: a number from here on."""
        world, name, shadow = self.world, self.other(), self.world.shadow
        if name == "beta1" and world.clock is None and "betas" in world.groups[0]:
            named: dict[str, Any] = {"betas": (value, world.groups[0]["betas"][1])}
        else:
            named = {name: value}
        if name == "momentum" and value == 0 and world.config.options.get("nesterov") and world.clock is None:
            world.refused("Nesterov without momentum", lambda: self.verbs.replace(**named))
            return
        self.verbs.replace(**named)
        world.doubt, world.moved, world.purpose = False, True, True
        world.joined.clear()
        for group in world.oracle.groups:
            group.others.pop(name, None)
            if world.clock:
                group.others[name] = always(value)
        if world.clock is None:
            world.replaced |= named
        for group in shadow.param_groups:
            if name == "beta1" and "betas" in group:
                group["betas"] = (value, group["betas"][1])
            else:
                group[name] = value

    def other(self) -> str:
        """A hyper beside the rate that may be replaced here."""
        names = self.world.config.kind.others
        found = [name for name in names if name != "momentum" or "momentum" in self.world.groups[0]]
        return found[-1] if found and self.written() else ""

    @operation(calm, more=st.integers(-3, 20), how=st.sampled_from(["stretch", "hold"]))
    def extend(self, more: int, how: str) -> None:
        world, end = self.world, self.world.oracle.end()
        horizon = (end or 10) + more
        if horizon < 1:
            return

        def call() -> None:
            self.verbs.extend(horizon, how=how)

        if end is None or not world.oracle.step < end < horizon:
            world.refused("extend to where nothing ends later", call)
            return
        call()
        world.purpose = True
        world.joined.clear()
        world.oracle.extend(horizon, how)

    @operation(calm, which=GROUPS, value=st.sampled_from([0.05, 0.011, 0.2]) | CURVES)
    def write_by_hand(self, which: int, value: float | Curve) -> None:
        """A number is anyone's to write, and what a late group was given; over a schedule it is refused."""
        world = self.world
        late = [index for index, group in enumerate(world.oracle.groups) if group.moved]
        which = late[-1] if late and which > 2 else which % len(world.groups)
        group, own = world.oracle.groups[which], world.groups[which]
        if which in world.joined:
            return  # it is what the group came with
        if isinstance(value, Curve):
            same = group.follows is not None and group.follows.ours == value.ours  # fastai writes that back
            free = world.clock is not None and group.follows is None  # not the clock's
            if not isinstance(own["lr"], torch.Tensor) and not same and not free:
                self.refuses(own, value.ours)
        elif group.follows is None:
            for side in (own, world.shadow.param_groups[which]):
                write(side, value)
            self.reread()
        elif group.moved and world.oracle.rate(which) > 0:
            write(own, value)
            world.oracle.write(which, value)
            world.pending = True
        elif not group.moved and not near(own["lr"], value) and not near(world.oracle.rate(which), value):
            self.refuses(own, value)

    def reread(self) -> None:
        """What torch's schedulers, or a hand, made of the numbers."""
        for group, theirs in zip(self.world.oracle.groups, self.world.shadow.param_groups, strict=True):
            if group.follows is None:
                group.number = float(theirs["lr"])

    def refuses(self, own: dict[str, Any], value: Any) -> None:
        """Something else stands where a schedule writes: the next step says so, until it is put back."""
        grads = self.fresh(0, self.world.config.kind.grads[0])
        if all(grad is None for grad in grads):
            return
        before = own["lr"] if not isinstance(own["lr"], torch.Tensor) else float(own["lr"])
        write(own, value)
        self.give(grads)
        self.world.refused("a rate written over a schedule", self.world.optimizer.step)
        write(own, before)


def write(group: dict[str, Any], value: Any) -> None:
    if isinstance(group["lr"], torch.Tensor):
        group["lr"].fill_(value)
    else:
        group["lr"] = value
