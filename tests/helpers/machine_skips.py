"""Steps that are none: without gradients, skipped, broken off; and those whose gradients are 0, which are."""

import contextlib

import torch
from hypothesis import strategies as st
from machine_checks import REFUSALS
from machine_updates import MASKS, Updates, operation
from torch import nn
from torch.distributed.checkpoint.state_dict import get_optimizer_state_dict


class Skips(Updates):
    """The part of a history that moves no weight."""

    @operation(mask=MASKS, why=st.sampled_from(["nothing", "skipped", "broken"]))
    def step_that_is_none(self, mask: int, why: str) -> None:
        {"nothing": self.without_gradients, "skipped": self.skipped, "broken": self.broken_off}[why](mask)

    def skipped(self, mask: int) -> None:
        """By a GradScaler that finds an infinite gradient."""
        world = self.world
        grads = self.fresh(mask, world.config.kind.grads[0])
        if not any(grad is not None and grad.numel() for grad in grads):
            return
        before = world.snapshot()
        self.scaled(grads, spoilt=True)
        fused = world.clock is not None and world.config.options.get("fused")  # torch's make their state first
        world.states = world.states or bool(fused)
        world.unchanged(before, "a skipped step", but="states" if fused else "")

    def without_gradients(self, _: int) -> None:
        self.give([None] * len(self.world.pairs()))
        before = self.world.snapshot()
        with contextlib.suppress(*REFUSALS if self.world.doubt else ()):
            self.world.optimizer.step()
        self.world.unchanged(before, "a step without gradients")

    @operation(mask=MASKS)
    def step_with_zero_gradients(self, mask: int) -> None:
        grads = self.fresh(mask, "sparse" if "sparse" in self.world.config.kind.grads else "zero")
        grads = [None if grad is None else grad * 0 for grad in grads]
        self.give(grads)
        self.update(grads, self.world.optimizer.step)

    def broken_off(self, mask: int) -> None:
        grads = self.fresh(mask, self.world.config.kind.grads[0])

        def closure() -> float:
            self.give(grads)
            raise KeyError("closure")

        before = self.world.snapshot()
        try:
            self.world.optimizer.step(closure)
        except (KeyError, *REFUSALS) as error:
            assert self.world.doubt or isinstance(error, KeyError), error  # noqa: PT017  # one of two
        else:
            raise AssertionError("the closure's error is lost")
        self.world.unchanged(before, "a closure that raises")

    def initialises(self) -> bool:
        """torch.distributed.checkpoint can make the state; of torch's own, only where that leaves no trace."""
        world = self.world
        undecayed = not any(group.get("weight_decay") for group in world.shadow.param_groups)
        own = world.clock is None or (world.config.kind.name in ("Adam", "AdamW", "Adagrad") and undecayed)
        return own and world.oracle.step == 0 and not world.joined

    @operation(lambda self: self.initialises())
    def state_of_distributed_checkpoint(self) -> None:
        world, model = self.world, nn.Module()
        params = [param for param, _ in world.pairs()]
        model.params = nn.ParameterList(params)
        if any(not p.requires_grad for p in params) or not params or world.doubt:
            return
        self.give([None] * len(params))
        weights = [param.detach().clone() for param in params]
        get_optimizer_state_dict(model, world.optimizer)
        assert all(map(torch.equal, params, weights)), "its initialising step moved weights"
        world.states = True
