"""A torch optimizer whose hypers are numbers or schedules of one counter of applied updates."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import is_
from typing import Any, overload

import torch
from torch import Tensor

from tapered import kernels, shards
from tapered.optim.changes import shown
from tapered.optim.hints import HINTS, check_hints
from tapered.optim.hypers import NAMES, Live, items, names, number
from tapered.optim.parameters import check_keys, check_tensors, only_initialises, tensors
from tapered.optim.policies import report
from tapered.optim.resumable import Resumable
from tapered.rules import Rule


@dataclass
class Prepared:
    """What stays the same from step to step for one group: its schedules' tables, and the kernel over its tensors."""

    tables: dict[str, Live]
    key: tuple[object, ...] = ()
    tensors: list[Tensor] = field(default_factory=list)
    apply: kernels.Apply | None = None


class Optimizer(Resumable):
    """The base of tapered's optimizers: a subclass names its group keys and makes a rule of a group.

    A hyper that is a schedule is read at the optimizer's own counter of applied updates: update k uses `schedule(k)`,
    in every group, also one that is added late. Steps without any gradient, steps that a GradScaler skips and
    evaluations of a closure do not move the counter.

    `group["lr"]` shows the rate in force at the latest update (before the first update, the first one's);
    `group["schedules"]` holds the schedules by the name of their hyper, `group["step"]` the counter. `report` is the
    line about the latest resumption or change: rate before, rate now, and why; the logger "tapered" has it, too.
    """

    def __init__(self, params: Any, hypers: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._forget()
        check_hints(options)
        entries = tensors(params, 0)
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        super().__init__(groups, {**hypers, **HINTS, **options})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options; their schedules read the optimizer's counter, wherever it stands.

        To let a late group's schedule start when it joins, give it `schedule.delayed(optimizer.steps)`.

        Raises:
            TypeError, ValueError: naming the value, the key and the group; the optimizer is as it was.
        """
        index = len(self.param_groups)
        if not isinstance(param_group, dict):
            raise TypeError(f"got {param_group!r} for group {index}; expected a dict; try {{'params': [...]}}")
        group = {**param_group, "params": tensors(param_group.get("params"), index)}
        check_keys(group, self.defaults, index)
        check_tensors(group["params"], index, {id(p) for g in self.param_groups for p in g["params"]})
        group = {**self.defaults, **group, "schedules": {}, "step": self.steps if self.param_groups else 0}
        for key in self.hyper_keys:
            self.split(group, key, index)
        for key in self.defaults.keys() - {*self.hyper_keys, *HINTS}:
            if not isinstance(group[key], bool):
                raise TypeError(f"got {group[key]!r} for `{key}` in group {index}; expected True or False")
        self.rule(group)
        super().add_param_group(group)

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every parameter that has a gradient.

        Args:
            closure: reevaluates the model and returns the loss; called once.

        Returns:
            The closure's loss, or None.

        Raises:
            ValueError: a hyper out of its range, a schedule overwritten from outside, a sparse gradient; nothing has
                changed then.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        grads = [[p.grad for p in group["params"]] for group in self.param_groups]
        if all(grad is None for grad in chain.from_iterable(grads)):
            return loss
        if closure is None and only_initialises(self):
            self.init_state()
            return None
        groups = list(enumerate(self.param_groups))
        hypers = [self._hypers(index, group) for index, group in groups]
        updates = [self._update(index, group, grads[index]) for index, group in groups]
        for (_, group), hyper, apply, given in zip(groups, hypers, updates, grads, strict=True):
            if apply is not None:
                apply([grad for grad in given if grad is not None], hyper)
            self._show(group, hyper)
            group["step"] += 1
        if self._change is not None:
            (why, before), self._change = self._change, None
            self.report = report(self.steps - 1, before, shown(self, self.param_groups), why)
        return loss

    def minimize(self, loss: Tensor | Callable[[], Tensor]) -> Tensor:
        """Zero the gradients, backpropagate, update, and move the counter on: TensorFlow 1's `minimize(loss)`.

        Args:
            loss: a tensor with one element, or a function that computes it.

        Returns:
            The loss before the update, detached.

        Example:
            >>> from tapered import Adam, exponential_decay
            >>> weight = torch.nn.Parameter(torch.ones(2))
            >>> optimizer = Adam([weight], lr=exponential_decay(0.15, decay_steps=1, decay_rate=0.9999))
            >>> optimizer.minimize((weight**2).sum())
            tensor(2.)
            >>> weight, optimizer.steps
            (Parameter containing:
            tensor([0.8500, 0.8500], requires_grad=True), 1)
        """
        self.zero_grad()
        value = loss if isinstance(loss, Tensor) else loss()
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.step()
        return value.detach()

    def init_state(self) -> None:
        """Create every parameter's state now instead of at its first update, to look at or to save (TF's "slots")."""
        for group in self.param_groups:
            self._states(group, self.rule(group))

    @contextlib.contextmanager
    def readout(self) -> Iterator[None]:
        """Within the block the parameters hold the weights to evaluate: Schedule-Free's average; else no change."""
        kept: list[tuple[Tensor, Tensor]] = []
        try:
            for group in self.param_groups:
                rule = self.rule(group)
                for param in (p for p in group["params"] if self.state.get(p)):
                    own = shards.local(param.data)
                    state = {name: shards.local(tensor) for name, tensor in self.state[param].items()}
                    weights = rule.readout(own, state)
                    if weights.data_ptr() != own.data_ptr():
                        kept.append((own, own.clone()))
                        own.copy_(weights)
            yield
        finally:
            for own, weights in kept:
                own.copy_(weights)

    def _forget(self) -> None:
        """Nothing is prepared: groups, schedules or tensors are others now."""
        self._prepared: dict[int, Prepared] = {}

    def _hypers(self, index: int, group: dict[str, Any]) -> dict[str, float]:
        """Every hyper's value at this step."""
        tables = self._at(index, group).tables
        step, values = group["step"], dict(self.rule(group).hypers)
        for key in self.hyper_keys:
            for name, given in zip(names(key), items(key, group[key], index), strict=True):
                value = number(name, given, index, self.ranges[name])
                if name in tables:
                    tables[name].untouched(name, value, step, index)
                    value = tables[name].now(name, step, index, self.ranges[name])
                values[name] = value
        return values

    def _show(self, group: dict[str, Any], hyper: Mapping[str, float]) -> None:
        """Write scheduled values where loggers look for them."""
        for key in self.hyper_keys:
            if any(name in group["schedules"] for name in names(key)):
                values = tuple(hyper[name] for name in names(key))
                group[key] = values if key in NAMES else values[0]

    def _at(self, index: int, group: dict[str, Any]) -> Prepared:
        """What is prepared for a group, made anew when its schedules are others."""
        prepared, schedules = self._prepared.get(index), group["schedules"]
        known = {} if prepared is None else prepared.tables
        same = known.keys() == schedules.keys() and all(
            schedules[name] is live.schedule for name, live in known.items()
        )
        if prepared is None or not same:
            prepared = self._prepared[index] = Prepared({name: Live(s) for name, s in schedules.items()})
        return prepared

    def _update(self, index: int, group: dict[str, Any], grads: list[Tensor | None]) -> kernels.Apply | None:
        """The kernel over those of a group's parameters that have a gradient, made anew when tensors are others."""
        params = [p for p, grad in zip(group["params"], grads, strict=True) if grad is not None]
        check_grads(grads, index)
        if not params:
            return None
        rule, prepared = self.rule(group), self._at(index, group)
        if not all(self.state.get(p) for p in params):
            self._states(group, rule)
        states = [self.state[p] for p in params]
        key = (rule, group["maximize"], group["fused"], group["compile"], shards.places(params))
        found = [*params, *chain.from_iterable(state.values() for state in states)]
        if prepared.key != key or len(found) != len(prepared.tensors) or not all(map(is_, found, prepared.tensors)):
            prepared.apply = kernels.prepare(
                rule,
                params,
                [{name: tensor for name, tensor in state.items() if name != "step"} for state in states],
                [state["step"] for state in states],
                maximize=group["maximize"],
                fused=group["fused"],
                compile=group["compile"],
            )
            prepared.key, prepared.tensors = key, found
        return prepared.apply

    def _states(self, group: dict[str, Any], rule: Rule) -> None:
        """Create the state of a group's parameters where there is none; their counts are one vector's elements."""
        for param in (p for p in group["params"] if not self.state.get(p)):
            # torch's fused kernels read the count on the parameter's own accelerator
            device = param.device if param.is_cuda else "cpu"
            self.state[param] = {"step": torch.zeros((), device=device), **rule.init(param.detach())}
        if len({self.state[p]["step"].device for p in group["params"]}) == 1:
            counts = torch.stack([self.state[p]["step"] for p in group["params"]])
            for param, count in zip(group["params"], counts.unbind(), strict=True):
                self.state[param]["step"] = count


def check_grads(grads: list[Tensor | None], index: int) -> None:
    """Refuse sparse gradients.

    Raises:
        ValueError: naming the parameter.
    """
    for place, grad in enumerate(grads):
        if grad is not None and grad.layout != torch.strided:
            raise ValueError(
                f"`params[{place}]` in group {index} has a sparse gradient, which these rules do not take; "
                "try nn.Embedding(..., sparse=False), or torch.optim.SparseAdam for that parameter"
            )
