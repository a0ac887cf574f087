"""A recorder beside an optimizer: it looks at chosen steps just before they are taken and changes nothing."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from tapered import optim, rules
from tapered.attach import clock_of
from tapered.explain.measure import Given, measure
from tapered.explain.points import Explanation, Point, Series
from tapered.optim.hypers import items, names
from tapered.rules import Rule

Group = Mapping[str, Any]


def _adam(group: Group) -> Rule:
    return rules.Adam(amsgrad=group["amsgrad"], decay=_decay(group))


def _decay(group: Group) -> rules.Decay:
    return "decoupled" if group["decoupled_weight_decay"] else "l2"


def _sgd(group: Group) -> Rule:
    return rules.SGD(momentum=bool(group["momentum"]), nesterov=group["nesterov"])


# torch's optimizers whose arithmetic is a rule's: exact types, since a subclass may do something else
TORCH: Mapping[type, tuple[Callable[[Group], Rule], type[optim.Optimizer]]] = {
    torch.optim.Adam: (_adam, optim.Adam),
    torch.optim.AdamW: (_adam, optim.AdamW),
    torch.optim.NAdam: (lambda group: rules.NAdam(decay=_decay(group)), optim.NAdam),
    torch.optim.RAdam: (lambda group: rules.RAdam(decay=_decay(group)), optim.RAdam),
    torch.optim.Adamax: (lambda _: rules.Adamax(), optim.Adamax),
    torch.optim.RMSprop: (
        lambda group: rules.RMSprop(centered=group["centered"], momentum=group["momentum"] > 0),
        optim.RMSprop,
    ),
    torch.optim.Adagrad: (
        lambda group: rules.Adagrad(start=float(group["initial_accumulator_value"])),
        optim.Adagrad,
    ),
    torch.optim.Adadelta: (lambda _: rules.Adadelta(), optim.Adadelta),
    torch.optim.SGD: (_sgd, optim.SGD),
}


@contextmanager
def recording(optimizer: torch.optim.Optimizer, *, every: int = 1, limit: int = 256) -> Iterator["Recorder"]:
    """Within the block, look at every n-th update of an optimizer just before it is made.

    Training is bitwise what it is without. Memory stays bounded: when `limit` steps are kept, every second one is
    dropped and half as many are looked at from there on. A look costs about one more update by the plain rule.

    Args:
        optimizer: One of tapered's, or torch's Adam, AdamW, NAdam, RAdam, Adamax, RMSprop, Adagrad, Adadelta, SGD.
            It may have a clock attached.
        every: 1 looks at each update.
        limit: Steps that are kept at most.

    Yields:
        The recorder; its `explanation` can be read at any time, also after the block.

    Raises:
        TypeError: An optimizer whose arithmetic is not known.
        ValueError: `every` below 1, `limit` below 2; later, at a step, a sparse gradient.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = torch.optim.Adam([weight], lr=0.1)
        >>> with recording(optimizer, every=10) as recorder:
        ...     for _ in range(21):
        ...         optimizer.zero_grad()
        ...         (weight**2).sum().backward()
        ...         optimizer.step()
        >>> [(point.step, round(point.largest, 2)) for point in recorder.explanation.series[0].points]
        [(0, 1.0), (10, 0.71), (20, 0.08)]
    """
    recorder = Recorder(optimizer, every, limit)
    handle = optimizer.register_step_pre_hook(recorder.before)
    try:
        yield recorder
    finally:
        handle.remove()


def explain_step(optimizer: torch.optim.Optimizer) -> Explanation:
    """The one update that `optimizer.step()` would make now, from the gradients that are there; nothing is changed.

    So a checkpoint is explained: load it into model and optimizer, backpropagate the next batch's loss, and ask.

    Args:
        optimizer: after `backward`, before `step`; one of tapered's, or of torch's whose arithmetic is known.

    Raises:
        TypeError, ValueError: as `recording`; also where there is no gradient.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = optim.Adam([weight], lr=0.1)
        >>> (weight**2).sum().backward()
        >>> point = explain_step(optimizer).series[0].points[0]
        >>> point.step, round(point.term("step").factor, 4), round(point.update, 4)
        (0, 0.3162, 0.1)
    """
    recorder = Recorder(optimizer, 1, 2)
    recorder.look()
    if not recorder.kept:
        raise ValueError("no parameter has a gradient, and a step is made of one; try loss.backward() first")
    return recorder.explanation


class Recorder:
    """What `recording` yields.

    Raises:
        TypeError: an optimizer whose arithmetic is not known here.

    Example:
        >>> import tapered
        >>> weight = torch.nn.Parameter(torch.ones(3))
        >>> optimizer = tapered.SGD([weight], lr=0.1)
        >>> with recording(optimizer, every=2) as recorder:
        ...     for _ in range(4):
        ...         loss = optimizer.minimize(weight.sum())
        >>> [point.step for point in recorder.explanation.series[0].points]
        [0, 2]
    """

    def __init__(self, optimizer: torch.optim.Optimizer, every: int, limit: int) -> None:
        if not isinstance(optimizer, optim.Optimizer) and type(optimizer) not in TORCH:
            known = ", ".join(kind.__name__ for kind in TORCH)
            raise TypeError(
                f"got {type(optimizer).__name__} for `optimizer`, whose arithmetic is not known here; expected one of "
                f"tapered's optimizers or torch's {known}"
            )
        for name, value, low in (("every", every, 1), ("limit", limit, 2)):
            if isinstance(value, bool) or not isinstance(value, int) or value < low:
                raise ValueError(f"got {value!r} for `{name}`; expected a whole number of at least {low}")
        self.optimizer, self.stride, self.limit, self.made = optimizer, every, limit, 0
        self.rules: dict[str, Rule] = {}
        self.kept: list[dict[str, Point]] = []

    @property
    def explanation(self) -> Explanation:
        """What was recorded so far; a group that never had a gradient has no points."""
        return Explanation(tuple(Series(n, r, tuple(p[n] for p in self.kept if n in p)) for n, r in self.rules.items()))

    def before(self, optimizer: torch.optim.Optimizer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """torch's hook before a step: with a closure, the look comes after the closure's gradients."""
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self.look()
            return None

        def looked() -> Any:
            loss = closure()
            self.look()
            return loss

        del optimizer
        rest = {name: value for name, value in kwargs.items() if name != "closure"}
        return (args[0], looked, *args[2:]), rest

    @torch.no_grad()
    def look(self) -> None:
        """Measure the update that is about to be made, if it is one to keep."""
        groups = self.optimizer.param_groups
        if not any(p.grad is not None for group in groups for p in group["params"]) or self._overflowed():
            return  # no update will be made
        if self.made % self.stride == 0:
            self._keep({name: p for i, g in enumerate(groups) for name, p in self._points(i, g)})
        self.made += 1

    def _keep(self, points: dict[str, Point]) -> None:
        if len(self.kept) == self.limit:
            del self.kept[1::2]
            self.stride *= 2
            if self.made % self.stride:
                return
        self.kept.append(points)

    def _points(self, index: int, group: Group) -> Iterator[tuple[str, Point]]:
        name = str(group.get("name", index))
        ours = isinstance(self.optimizer, optim.Optimizer)
        rule = cast("optim.Optimizer", self.optimizer).rule(group) if ours else TORCH[type(self.optimizer)][0](group)
        self.rules[name] = rule
        given = [self._given(rule, p, group, index) for p in group["params"] if p.grad is not None]
        if not given:
            return
        clock = clock_of(self.optimizer)
        follower = clock or self.optimizer
        schedules = follower.schedules[index] if clock is not None or ours else {}  # type: ignore[union-attr]  # tapered's
        step = self._step(given, group) if clock is None else clock.step
        values = {**rule.hypers, **_shown(self._keys(), group, index)}
        hyper = {n: float(v) for n, v in values.items() if n in ("lr", *rule.hypers)}
        yield name, measure(rule, step, given, hyper, schedules)

    def _keys(self) -> tuple[str, ...]:
        ours = isinstance(self.optimizer, optim.Optimizer)
        return (self.optimizer if ours else TORCH[type(self.optimizer)][1]).hyper_keys  # type: ignore[union-attr]

    def _step(self, given: list[Given], group: Group) -> int:
        if "step" in group:
            return int(group["step"])
        counted = any("step" in self.optimizer.state.get(p, {}) for p in group["params"])
        return max(part.t for part in given) - 1 if counted else self.made

    def _given(self, rule: Rule, param: Tensor, group: Group, index: int) -> Given:
        grad = cast("Tensor", param.grad).detach()
        if grad.layout != torch.strided:
            raise ValueError(f"group {index} has a sparse gradient of shape {tuple(grad.shape)}; these rules take none")
        scale = getattr(self.optimizer, "grad_scale", None)  # a GradScaler leaves it to torch's fused kernels
        grad = grad if scale is None else grad / scale
        kept = self.optimizer.state.get(param, {})
        start = rule.init(param.detach())
        state = {name: kept[name] if kept.get(name) is not None else tensor for name, tensor in start.items()}
        # torch's SGD counts nothing, but a buffer shows that there was a step
        count = int(kept["step"]) if "step" in kept else int(kept.get("momentum_buffer") is not None)
        return Given(param.detach(), -grad if group["maximize"] else grad, state, count + 1)

    def _overflowed(self) -> bool:
        found = getattr(self.optimizer, "found_inf", None)
        return found is not None and bool(found)


def _shown(keys: tuple[str, ...], group: Group, index: int) -> dict[str, Any]:
    """Every hyper that a group shows, by its own name."""
    return {name: v for key in keys for name, v in zip(names(key), items(key, group[key], index), strict=True)}
