"""Parameter groups as they come: checked whole before one is added, with what they follow beside them."""

from collections.abc import Collection, Mapping
from typing import Any

from tapered.optim.changes import controlled, shown
from tapered.optim.hints import HINTS, check_hints
from tapered.optim.hypers import number, shows
from tapered.optim.late import AS_THE_OTHERS, WITH_A_RATE, anchored, following, reanchored
from tapered.optim.multipliers import factor
from tapered.optim.parameters import check_tensors, tensors, warn_misspelt
from tapered.optim.policies import report
from tapered.optim.resumable import Resumable
from tapered.optim.states import create
from tapered.schedules import Schedule
from tapered.schedules.observed import why

OWN = ("schedules", "step", "joined")  # group keys beside hypers, options and hints


class Grouped(Resumable):
    """Takes groups in, also late ones."""

    eager = False  # torch's makes its state at construction

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with their own options; their schedules read the optimizer's counter, wherever it stands.

        A group that joins late, at step k, follows the schedule of the others; one that is given a number r as its rate
        follows it in proportion, r * schedule(j) / schedule(k) at step j, so that a rate that was copied from a decayed
        one is not decayed twice; one that is given a schedule follows that. To let such a schedule start when it
        joins, give it `schedule.delayed(optimizer.steps)`.

        Raises:
            TypeError, ValueError: naming the value, the key and the group; the optimizer is as it was.
            RuntimeError: within `readout()`.
        """
        self._outside_readout("add_param_group")
        index, running = len(self.param_groups), self._running
        late = running.built and bool(index)
        with self._or_as_it_was():
            if late:
                self.heal()
            used = self.last_lr if late and self.steps else None
            given = self._checked(param_group, index)
            del running.follows[index:]  # of groups that were taken out
            group, follows = self._made(given, index, late=late)
            self.rule(group)
            super().add_param_group(group)
        running.follows.append(follows)
        running.scales[index] = factor(group, group["multiplier"], index)
        running.prepared.pop(index, None)
        if late:
            running.used = None if used is None else (*used, float(group["lr"]))
        warn_misspelt(given, (*self.defaults, *OWN), index)
        self._thaw()
        if self.eager:
            self.init_state()

    def _checked(self, param_group: Any, index: int) -> dict[str, Any]:
        """The group with its parameters as a list."""
        if not isinstance(param_group, dict):
            raise TypeError(f"got {param_group!r} for group {index}; expected a dict; try {{'params': [...]}}")
        given = {**param_group, "params": tensors(param_group.get("params"), index)}
        check_hints(given, f" in group {index}")
        check_tensors(given["params"], index, {id(p) for g in self.param_groups for p in g["params"]})
        return given

    def _made(self, given: Mapping[str, Any], index: int, *, late: bool) -> tuple[dict[str, Any], dict[str, Schedule]]:
        """The group with all that it needs, and what it follows."""
        running = self._running
        defaults = following(running.given, running.follows) if running.built else running.given
        step = self.steps if index else given.get("step", 0)
        group = {**self.defaults, **defaults, **given, "schedules": {}, "step": step}
        follows: dict[str, Schedule] = {}
        for key in self.hyper_keys:
            self.split(group, follows, key, index)
        for key in self.defaults.keys() - {*self.hyper_keys, *HINTS}:
            if not isinstance(group[key], bool):
                raise TypeError(f"got {group[key]!r} for `{key}` in group {index}; expected True or False")
        if "schedules" in given:  # a group that was one of an optimizer's, taken out and put in again
            follows |= {name: self.known(text) for name, text in given["schedules"].items()}
        elif late and "lr" not in given:
            group["joined"] = AS_THE_OTHERS
        elif late and "lr" not in follows:
            anchored(group, follows, running.follows, index)
        group["schedules"] = {name: str(schedule) for name, schedule in follows.items()}
        return group, follows

    def observe(self, value: Any) -> None:
        """Tell the loss, or whatever is watched, to the controllers that hypers follow; their rates hold from now on.

        Every call counts; call it once an evaluation, in each of several processes with the same value. Values told
        while a controller's head lasts (a warmup) are passed over.

        Args:
            value: a number, or a tensor or numpy scalar that holds one; NaN is no improvement.

        Raises:
            TypeError, ValueError: no real number, nothing here that follows one, or a rate that somebody else wrote;
                nothing has changed then.

        Example:
            >>> import torch
            >>> from tapered import AdamW, plateau
            >>> optimizer = AdamW([torch.nn.Parameter(torch.ones(2))], lr=plateau(0.1, factor=0.5, patience=0))
            >>> optimizer.observe(1.0), optimizer.observe(1.0)
            (None, None)
            >>> optimizer.param_groups[0]["lr"], optimizer.report
            (0.05, 'step 0: lr 0.1 -> 0.05 (group 0): plateau was told 1')
        """
        with self._or_as_it_was():
            self.heal()
            self.untouched()
            found = controlled(self, value)
        before = shown(self, self.param_groups)
        for (index, name), path in found.items():
            self._follow(index, name, path)
        now = shown(self, self.param_groups)
        changed = {key: now[key] for key in found if now[key] != before[key]}
        if changed:
            self._running.report = report(self.steps, before, changed, why(found[next(iter(changed))], value))

    def untouched(self) -> None:
        """Nobody else has written what follows something.

        Raises:
            ValueError: somebody has.
        """
        raise NotImplementedError

    def _follow(self, index: int, name: str, path: Schedule) -> None:
        """Let a hyper of a group follow another path from the coming update on."""
        raise NotImplementedError

    def init_state(self) -> None:
        """Create every trained parameter's state now instead of at its first update, to look at or to save."""
        for group in self.param_groups:
            create(self.state, self.rule(group), [p for p in group["params"] if p.requires_grad], group["params"])

    def heal(self, but: Collection[tuple[int, str]] = ()) -> None:
        """Also let late groups follow from the numbers that somebody wrote into them."""
        super().heal(but)
        self._late_numbers(but)

    @property
    def schedules(self) -> tuple[dict[str, Schedule], ...]:
        """What each group follows, by the name of the hyper (betas are beta1, beta2)."""
        self._late_numbers()
        return super().schedules

    def _late_numbers(self, but: Collection[tuple[int, str]] = ()) -> None:
        for index, group in enumerate(self.param_groups):
            late = group.get("joined") == WITH_A_RATE and "lr" in self._resolved(index)
            if not late or (index, "lr") in but or isinstance(group["lr"], Schedule):
                continue
            moved = self._moved(index)
            if moved is not None:
                if self.steps:
                    self._running.used = self.last_lr  # which the schedule that is replaced here may be needed for
                self._running.follows[index]["lr"] = moved
                group["schedules"] = {**group["schedules"], "lr": str(moved)}
        self._running.written = False

    def _moved(self, index: int) -> Schedule | None:
        """What a late group follows from here on, if another number was written into it.

        Raises:
            TypeError, ValueError: no rate, or nothing that could be followed in proportion.
        """
        group, own = self.param_groups[index], self._resolved(index)["lr"]
        rate = number("lr", group["lr"], index, self.ranges["lr"])
        times = factor(group, group["multiplier"], index)
        # the multiplier may be another since
        if any(shows(group["lr"], own(self.steps) * by) for by in (times, self._running.scales.get(index, 1.0))):
            return None
        return reanchored(own, rate, self.steps, index, times)

    def _written(self, index: int, name: str, given: Any, value: float, scale: float) -> float:
        """What holds where a group does not show its schedule's value.

        Raises:
            TypeError, ValueError: somebody else wrote it.
        """
        group, own = self.param_groups[index], self._running.follows[index]
        if name == "lr" and group.get("joined") == WITH_A_RATE:
            moved = self._moved(index)
            self._running.written |= moved is not None  # it is followed once nothing else is refused
            return value if moved is None else moved(self.steps) * scale
        shown = number(name, given, index, self.ranges[name])
        before = own[name](self.steps) * self._running.scales.get(index, 1.0)
        if shows(given, value) or (name == "lr" and shows(given, before)):  # the multiplier may be another since
            return value
        raise ValueError(
            f"`{name}` in group {index} was set to {shown!r} from outside at step {self.steps}, but it follows "
            f"{own[name]}, which gives {value!r}; keep one of the two: give the optimizer {name}={shown!r} and steer "
            f"it yourself, optimizer.replace({name}={shown!r}), or leave the schedule alone (code that insists on a "
            f"scheduler takes as_lr_scheduler(optimizer))"
        )
