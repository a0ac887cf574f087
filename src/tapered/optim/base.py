"""A torch optimizer whose hypers are numbers or schedules of one counter of applied updates."""

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from operator import is_
from typing import Any, overload

import torch
from torch import Tensor

from tapered.optim.changes import shown
from tapered.optim.groups import OWN, Grouped
from tapered.optim.hints import HINTS, check_hints
from tapered.optim.hypers import NAMES, Live, first, items, number
from tapered.optim.multipliers import TaperedWarning, factor, warn_of_others
from tapered.optim.parameters import check_grads, only_initialises, tensors
from tapered.optim.policies import report
from tapered.optim.running import Running
from tapered.optim.states import create, lent, names_of
from tapered.rules import Rule, kernels, shards
from tapered.schedules import Schedule
from tapered.schedules.controllers import each_fits

OFTEN = 8
PLACES = {name: (key, part) for key, pair in NAMES.items() for part, name in enumerate(pair)}


@dataclass
class Prepared:
    """What stays the same from step to step for one group: its schedules' tables, and the kernel over its tensors."""

    tables: dict[str, Live]
    seen: dict[str, float] = field(default_factory=dict)  # numbers that were checked
    key: tuple[object, ...] = ()
    tensors: list[Tensor] = field(default_factory=list)
    shared: bool = True  # some may be DTensors, whose parts can be moved
    times: int = 0  # how often the kernel was made
    update: kernels.Update | None = None


class Optimizer(Grouped):
    """The base of tapered's optimizers: a subclass names its group keys and makes a rule of a group.

    A hyper that is a schedule is read at the optimizer's own counter of applied updates: update k uses `schedule(k)`,
    in every group, also one that is added late. Steps without any gradient, steps that a GradScaler skips and
    evaluations of a closure do not move the counter. A rate that follows a schedule is multiplied by the group's
    `lr_scale`, where it has one (`multiplier` names another key).

    Between two steps `group["lr"]` is the rate that the next update will use, as under torch's schedulers, and
    `last_lr` what the last one used; `group["schedules"]` holds the schedules as text by the name of their hyper,
    `group["step"]` the counter. `report` is the line about the latest resumption or change: rate before, rate now, and
    why; the logger "tapered" has it, too.

    Example:
        >>> import tapered
        >>> optimizer = tapered.SGD([torch.nn.Parameter(torch.ones(2))], lr=tapered.warmup(4))
        >>> isinstance(optimizer, Optimizer), optimizer.steps, optimizer.param_groups[0]["schedules"]["lr"]
        (True, 0, 'warmup(4)')
    """

    def __init__(self, params: Any, hypers: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self._running = Running(given=dict(hypers))
        check_hints(options)
        entries = tensors(params, None)
        groups = entries if isinstance(entries[0], dict) else [{"params": entries}]
        super().__init__(groups, {**hypers, **HINTS, **options})
        for given in hypers.values():
            each_fits(given, len(self.param_groups))
        self.defaults.update(
            {key: first(key, given) for key, given in hypers.items()}
        )  # others read plain values there
        known = {*self.hyper_keys, *options, *HINTS, *OWN}
        scheduled = {i: g for i, g in enumerate(self.param_groups) if "lr" in g["schedules"]}
        warn_of_others(scheduled, self.param_groups[0]["multiplier"], known)
        self._running.built = True

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
            ValueError: a hyper out of its range, a schedule overwritten from outside, a sparse gradient that the rule
                does not take, a state that was refused at loading; nothing has changed then.
            RuntimeError: within `readout()`.
        """
        self._outside_readout("step")
        if self._running.refused:
            raise ValueError(self._running.refused)
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        found = [[p.grad for p in group["params"]] for group in self.param_groups]
        grads = [[grad for grad in given if grad is not None] for given in found]
        if not any(grads):
            return loss
        if closure is None and not self.state and only_initialises(self):
            self.init_state()
            return None
        groups, step = list(enumerate(self.param_groups)), self.steps
        if self._freezing.loaded:
            self._freezing.settle(self.param_groups)
        if any(isinstance(group["lr"], Schedule) for group in self.param_groups):
            self.heal()
        rules = [self.rule(group) for group in self.param_groups]
        hypers = [self._hypers(index, group, rules[index], step) for index, group in groups]
        updates = [
            self._update(index, group, rules[index], hypers[index], found[index], grads[index])
            for index, group in groups
        ]
        self._apply(updates, hypers, grads)
        if self._running.written:
            self._late_numbers()
        self._moved_on(step, hypers)
        return loss

    def _moved_on(self, step: int, hypers: list[dict[str, float]]) -> None:
        """After an update: the groups show the next one's values, and a change is reported."""
        self._running.used = tuple(hyper["lr"] for hyper in hypers)
        for index, group in enumerate(self.param_groups):
            self._show(index, group, step + 1)
        if self._running.change is not None:
            (why, before), self._running.change = self._running.change, None
            now = {(i, name): hypers[i][name] for i, name in shown(self, self.param_groups)}
            self._running.report = report(step, before, now, why)
        if self._freezing.due == step + 1:
            self._thaw()

    def minimize(self, loss: Tensor | Callable[[], Tensor]) -> Tensor:
        """Zero the gradients, backpropagate, update, and move the counter on: TensorFlow 1's `minimize(loss)`.

        Args:
            loss: a tensor with one element, or a function that computes it.

        Returns:
            The loss before the update, detached.

        Raises:
            TypeError: it is neither, or has several elements; no gradient was zeroed.

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
        if not (callable(loss) or isinstance(loss, Tensor)) or (isinstance(loss, Tensor) and loss.numel() != 1):
            got = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else f"{loss!r:.80}"
            raise TypeError(
                f"got {got} for `loss`; expected a tensor with one element, before .item(), or a function that "
                f"computes it; try minimize(loss.mean())"
            )
        self.zero_grad()
        value = loss if isinstance(loss, Tensor) else loss()
        value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self.step()
        return value.detach()

    @contextlib.contextmanager
    def readout(self) -> Iterator[None]:
        """Within the block the parameters hold the weights to evaluate: Schedule-Free's average; else no change.

        Where an average is lent, nothing is stepped, saved or loaded there: `step`, `state_dict`, `load_state_dict` and
        a pickle raise a RuntimeError.
        """
        if self._running.evaluates:  # a function that evaluates, called by one that does
            yield
            return
        kept: list[tuple[Tensor, Tensor]] = []
        try:
            with torch.no_grad():
                for group in self.param_groups:
                    kept += lent(self.rule(group), group["params"], self.state)
            self._running.evaluates = bool(kept)
            torch.clear_autocast_cache()  # else a block of autocast goes on with the weights that it has cast before
            yield
        finally:
            self._running.evaluates = False
            torch.clear_autocast_cache()
            with torch.no_grad():
                for own, weights in kept:
                    own.copy_(weights)

    def _hypers(self, index: int, group: dict[str, Any], rule: Rule, step: int) -> dict[str, float]:
        """Every hyper's value at this step; what a schedule gives, nobody else has written over."""
        prepared = self._at(index, group)
        tables, seen, values = prepared.tables, prepared.seen, dict(rule.hypers)
        scale = factor(group, group["multiplier"], index) if "lr" in tables else 1.0
        for key in self.hyper_keys:
            shown = group[key]
            # (name, value) pairs; every step comes through here
            for name, given in (
                zip(NAMES[key], items(key, shown, index), strict=True) if key in NAMES else ((key, shown),)
            ):
                if name in tables:
                    times = scale if name == "lr" else 1.0
                    value = tables[name].now(name, step, index, self.ranges[name], times)
                    values[name] = value if given == value else self._written(index, name, given, value, times)
                elif type(given) is float and given is seen.get(name):
                    values[name] = given
                else:
                    values[name] = number(name, given, index, self.ranges[name])
                    if type(given) is float:
                        seen[name] = given
        return values

    def _show(self, index: int, group: dict[str, Any], step: int) -> None:
        """Move a group to a step: its scheduled values are those that the next update uses."""
        group["step"] = step
        if not group["schedules"]:
            return
        tables = self._at(index, group).tables
        scale = self._running.scales[index] = factor(group, group["multiplier"], index) if "lr" in tables else 1.0
        for name, live in tables.items():
            value = self._next(live, name, step, index, scale if name == "lr" else 1.0)
            key, part = PLACES.get(name, (name, None))
            group[key] = value if part is None else tuple(value if i == part else v for i, v in enumerate(group[key]))

    def untouched(self) -> None:
        """Nobody else has written what follows something.

        Raises:
            ValueError: somebody has.
        """
        for index, group in enumerate(self.param_groups):
            self._hypers(index, group, self.rule(group), self.steps)

    def _follow(self, index: int, name: str, path: Schedule) -> None:
        """Let a hyper of a group follow another path from the coming update on; its kernel stays."""
        group = self.param_groups[index]
        prepared = self._at(index, group)
        self._running.follows[index][name] = path
        group["schedules"] = {**group["schedules"], name: str(path)}
        prepared.tables[name] = Live(path)
        self._show(index, group, self.steps)

    def _next(self, live: Live, name: str, step: int, index: int, times: float) -> float:
        """The coming value; where there is none (a function that ends), the one before: that step will say so."""
        try:
            return live.now(name, step, index, self.ranges[name], times)
        except Exception:  # noqa: BLE001 - the update that was made is not undone by a step that may never come
            return live(step - 1) * times if step else 0.0

    def _at(self, index: int, group: dict[str, Any]) -> Prepared:
        """What is prepared for a group, made anew when its schedules are others."""
        prepared, texts = self._running.prepared.get(index), group["schedules"]
        known = {} if prepared is None else prepared.tables
        same = known.keys() == texts.keys() and all(texts[name] == live.text for name, live in known.items())
        if prepared is None or not same:
            follows = self._resolved(index)
            prepared = self._running.prepared[index] = Prepared({name: Live(s) for name, s in follows.items()})
        return prepared

    def _update(
        self,
        index: int,
        group: dict[str, Any],
        rule: Rule,
        hyper: Mapping[str, float],
        found: list[Tensor | None],
        grads: list[Tensor],
    ) -> kernels.Update | None:
        """The kernel over those of a group's parameters that have a gradient, made anew when tensors are others."""
        if not grads:
            return None
        params: list[Tensor] = group["params"]
        if len(grads) < len(params):
            params = [p for p, grad in zip(params, found, strict=True) if grad is not None]
        prepared, state = self._at(index, group), self.state
        sparse = check_grads(type(self).__name__, rule, hyper, grads, index)
        layout = [p.stride() for p in params], [p.dtype for p in params]  # `param.data = ...` may change both
        key: tuple[object, ...] = (rule, group["maximize"], group["fused"], group["compile"], sparse, layout)
        if prepared.shared and (places := shards.places(params)):
            key = (*key, places)
        held = [*params, *chain.from_iterable([own.values() for own in map(state.get, params) if own is not None])]
        if prepared.key != key or len(held) != len(prepared.tensors) or not all(map(is_, held, prepared.tensors)):
            create(state, rule, params, group["params"])
            states = [state[p] for p in params]
            prepared.update = kernels.prepare(
                rule,
                params,
                [{name: own[name] for name in names_of(rule)} for own in states],
                [own["step"] for own in states],
                maximize=group["maximize"],
                fused=group["fused"],
                compile=group["compile"] and not self._often(prepared, index),
                sparse=sparse,
            )
            prepared.key, prepared.shared = key, any(map(shards.is_shared, params))
            prepared.tensors = [*params, *chain.from_iterable(own.values() for own in states)]
        return prepared.update

    @staticmethod
    def _often(prepared: Prepared, index: int) -> bool:
        """A graph is made for one set of tensors; where that changes again and again, the rule runs uncompiled."""
        prepared.times += 1
        if prepared.times == OFTEN:
            warnings.warn(
                f"compile=True: the parameters of group {index} that have a gradient have changed {OFTEN} times, so "
                "its updates are no longer compiled; give those that change a group of their own",
                TaperedWarning,
                stacklevel=5,
            )
        return prepared.times >= OFTEN

    @staticmethod
    def _apply(updates: list[kernels.Update | None], hypers: list[dict[str, float]], grads: list[list[Tensor]]) -> None:
        """Count in every group, then update; where a kernel fails, no count has moved."""
        counted: list[kernels.Update] = []
        try:
            for update in updates:
                if update is not None:
                    update.count(1)
                    counted.append(update)
            for update, hyper, given in zip(updates, hypers, grads, strict=True):
                if update is not None:
                    update.kernel(given, hyper)
        except BaseException:
            for update in counted:
                update.count(-1)
            raise
