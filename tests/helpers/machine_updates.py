"""Steps with gradients of any kind, made in any way."""

import functools
from collections.abc import Callable
from typing import Any

import torch
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from machine_checks import TALLY
from machine_tensors import gradient
from machine_world import World

Grads = list[torch.Tensor | None]
MASKS = st.sampled_from([0, 0, 0, 1, 2, 5])  # which parameters get a gradient; 0: all
WAYS = ["plain", "plain", "closure", "keyword", "accumulated", "scaled", "minimize"]


def operation(when: Callable[[Any], bool] = lambda _: True, **strategies: Any) -> Callable[..., Any]:
    """A rule that is counted; `when` it can be done at all."""

    def made(function: Callable[..., None]) -> Any:
        @precondition(when)
        @rule(**strategies)
        @functools.wraps(function)
        def run(self: Any, **drawn: Any) -> None:
            TALLY.done[function.__name__] += TALLY.open
            watched(lambda: function(self, **drawn))

        return run

    return made


def watched(call: Callable[[], None]) -> None:
    try:
        call()
    except Exception:
        TALLY.open = False
        raise


class Updates(RuleBasedStateMachine):
    """The part of a history that moves weights."""

    world: World | None = None

    @invariant()
    def agrees(self) -> None:
        if self.world is not None:
            watched(self.world.check)

    def teardown(self) -> None:
        TALLY.histories += TALLY.open

    # gradients

    def fresh(self, mask: int, how: str) -> Grads:
        pairs = self.world.pairs()
        wanted = [(p if p.requires_grad and (not mask or mask >> i & 1) else None) for i, (p, _) in enumerate(pairs)]
        return [None if p is None else gradient(p, how, self.world.source) for p in wanted]

    def give(self, grads: Grads, factor: float = 1.0) -> None:
        for (param, _), grad in zip(self.world.pairs(), grads, strict=True):
            param.grad = None if grad is None else grad.clone() if factor != 1 and grad.is_sparse else grad
            if grad is not None and factor != 1:
                param.grad = param.grad * factor

    def update(self, grads: Grads, call: Callable[[], Any]) -> None:
        """A step that must be applied, if there is any gradient; or refused after a refused load."""
        world = self.world
        if world.doubt and any(grad is not None for grad in grads):
            world.refused("a step after a refused load", call)
        if world.doubt:
            return
        params = [param for param, _ in world.pairs()]
        before = [param._version for param in params]
        call()
        moved = [param._version > version for param, version in zip(params, before, strict=True)]
        seen = world.clock is not None or all(moved[i] for i, g in enumerate(grads) if g is not None and g.numel())
        assert seen, f"a step that autograd does not see: {moved}"  # torch's own fused ones are not seen
        self.shadowed(grads)

    def shadowed(self, grads: Grads) -> None:
        """The same update by hand."""
        world = self.world
        if all(grad is None for grad in grads):
            return
        world.write()
        for (_, theirs), grad in zip(world.pairs(), grads, strict=True):
            theirs.grad = None if grad is None else grad.to(theirs.dtype, copy=True)
        world.shadow.step()
        world.oracle.applied()
        world.updated |= {place for place, grad in enumerate(grads) if grad is not None}
        world.purpose = world.pending = False
        world.joined.clear()
        world.stale.clear()
        world.check_weights()

    # operations

    @operation()
    def advance(self) -> None:
        """The first of all by its name, so that hypothesis tries it most."""
        self.ordinary(0)

    @operation(times=st.integers(2, 4), mask=MASKS)
    def advance_more(self, times: int, mask: int) -> None:
        for _ in range(times):
            self.ordinary(mask)

    def ordinary(self, mask: int) -> None:
        grads = self.fresh(mask, self.world.config.kind.grads[0])
        self.give(grads)
        self.update(grads, self.world.optimizer.step)

    @operation(mask=MASKS, how=st.integers(0, 9), way=st.sampled_from(WAYS))
    def step(self, mask: int, how: int, way: str) -> None:
        world = self.world
        layouts = world.config.kind.grads
        grads = self.fresh(mask, layouts[how] if how < len(layouts) else layouts[0])
        optimizer, sparse = world.optimizer, "sparse" in layouts
        if way in ("closure", "keyword"):
            self.closure(grads, keyword=way == "keyword")
        elif way == "accumulated" and not sparse:
            self.give(grads)
            more = self.fresh(mask, "dense")
            for (param, _), grad in zip(world.pairs(), more, strict=True):
                param.grad = None if grad is None else param.grad + grad
            self.update([param.grad for param, _ in world.pairs()], optimizer.step)
        elif way == "scaled" and any(grad is not None for grad in grads):
            self.scaled(grads)
        elif way == "minimize" and world.clock is None and any(g is not None for g in grads):
            pairs = zip(world.pairs(), grads, strict=True)
            loss = sum((param * grad).sum() for (param, _), grad in pairs if grad is not None)
            self.update(grads, lambda: optimizer.minimize(loss))
        else:
            self.give(grads)
            self.update(grads, optimizer.step)
            self.untouched(grads)

    def untouched(self, grads: Grads) -> None:
        for (param, _), grad in zip(self.world.pairs(), grads, strict=True):
            assert param.grad is grad, "a step replaced a gradient"

    def closure(self, grads: Grads, *, keyword: bool) -> None:
        calls = []

        def closure() -> torch.Tensor:
            assert torch.is_grad_enabled()
            calls.append(0)
            self.give(grads)
            return torch.tensor(3.0)

        def step() -> None:
            optimizer = self.world.optimizer
            loss = optimizer.step(closure=closure) if keyword else optimizer.step(closure)
            assert float(loss) == 3
            assert len(calls) == 1

        self.give([None] * len(grads))
        self.update(grads, step)

    def scaled(self, grads: Grads, *, spoilt: bool = False) -> None:
        """By torch's own GradScaler; a power of two, so that no bit is lost."""
        scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
        scaler.scale(torch.ones(()))
        self.give(grads, 1024.0)
        if spoilt:
            pairs = zip(self.world.pairs(), grads, strict=True)
            first = next(param for (param, _), grad in pairs if grad is not None and grad.numel())
            first.grad = first.grad * float("inf")
            scaler.step(self.world.optimizer)
        else:
            self.update(grads, lambda: scaler.step(self.world.optimizer))
        scaler.update()
