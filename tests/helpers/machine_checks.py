"""What an optimizer and its shadow must both show, at any moment; and that a refusal changes nothing."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from machine_config import Config
from machine_oracle import Oracle
from machine_tensors import kept, plain, same, whole
from torch import Tensor, nn

from tapered.attach import Clock
from tapered.schedules import Schedule

HINTS = ("params", "foreach", "fused", "capturable", "differentiable", "decoupled_weight_decay")
REFUSALS = (ValueError, TypeError, RuntimeError)


@dataclass
class Tally:
    """What was tried; not counted while a failure is made smaller."""

    histories: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    open: bool = True


TALLY = Tally()


class Checked:
    """Ours, theirs, and the oracle between them."""

    config: Config
    oracle: Oracle
    params: list[list[nn.Parameter]]
    theirs: list[list[nn.Parameter]]
    optimizer: Any
    shadow: torch.optim.Optimizer
    clock: Clock | None
    states = False  # made before the first update
    doubt = False  # a refused load: the next step refuses, too
    before: dict[int, Tensor]  # of weights in 16 bits, what the last update began with
    updated: set[int]  # parameters that ever were, by their place
    joined: set[int]  # groups that a clock has not seen yet
    stale: set[int]  # groups whose multiplier is another since the last update

    @property
    def loose(self) -> float:
        """Where squares are taken from squares, float32 leaves few digits."""
        return 100.0 if self.config.options.get("centered") else 1.0

    @property
    def groups(self) -> list[dict[str, Any]]:
        return self.optimizer.param_groups

    def pairs(self) -> list[tuple[nn.Parameter, nn.Parameter]]:
        every = zip(self.params, self.theirs, strict=True)
        return [pair for ours, theirs in every for pair in zip(ours, theirs, strict=True)]

    def write(self) -> None:
        """By hand, into the shadow: what the next update uses."""
        for index, group in enumerate(self.shadow.param_groups):
            if self.oracle.groups[index].follows is not None:
                group["lr"] = self.oracle.rate(index)
            for name, value in self.oracle.other(index).items():
                if name == "beta1" and "betas" in group:
                    group["betas"] = (value, group["betas"][1])
                else:
                    group[name] = value

    def snapshot(self) -> Any:
        """All that a refused operation must leave as it was."""
        states = [kept(dict(self.optimizer.state.get(ours) or {})) for ours, _ in self.pairs()]
        hidden = ("params", "initial_lr")  # a clock shows the base once it has looked
        hides = self.joined | self.stale  # what they show, they show once they were looked at
        groups = [
            {} if index in hides else {key: kept(value) for key, value in group.items() if key not in hidden}
            for index, group in enumerate(self.groups)
        ]
        seen = [group["lr"] for index, group in enumerate(self.groups) if index not in self.joined]
        asks = any(isinstance(rate, Schedule) for rate in seen)  # a clock refuses to look at it
        counts = self.optimizer.steps if self.clock is None else self.clock.step
        return (
            tuple(kept(ours) for ours, _ in self.pairs()),
            tuple(states),
            tuple(groups),
            counts,
            not asks and tuple(rate for index, rate in enumerate(self.last()) if index not in hides),
        )

    def last(self) -> tuple[float, ...]:
        return tuple((self.clock or self.optimizer).last_lr)

    def refused(self, what: str, call: Callable[[], Any]) -> None:
        """It is refused in words, and nothing has changed."""
        before = self.snapshot()
        try:
            call()
        except REFUSALS as error:
            in_words(error)
        else:
            raise AssertionError(f"not refused: {what}")
        self.unchanged(before, f"refused, {what}")
        TALLY.refused[what] += TALLY.open

    def unchanged(self, before: Any, what: str, *, but: str = "") -> None:
        now = self.snapshot()
        names = ("weights", "states", "groups", "count", "last_lr")
        every = zip(names, before, now, strict=True)
        changed = [(name, a, b) for name, a, b in every if name != but and not same(a, b)]
        assert not changed, f"{what}, but changed: {changed}"

    def check(self) -> None:
        """The rates and the count are the oracle's, all else is the shadow's."""
        oracle = self.oracle
        count = self.optimizer.steps if self.clock is None else self.clock.step
        assert count == oracle.step, f"counted {count} of {oracle.step} updates"
        assert len(self.groups) == len(self.shadow.param_groups)
        self.write()
        for index, (ours, theirs) in enumerate(zip(self.groups, self.shadow.param_groups, strict=True)):
            if index in self.joined:
                continue
            assert plain({key: value for key, value in ours.items() if key != "params"}), ours
            where = f"group {index} at step {oracle.step}"
            rate = torch.tensor(oracle.rate(index)) if self.config.tensor else oracle.rate(index)
            assert index in self.stale or near(ours["lr"], rate), f"{where}: lr {ours['lr']}, not {oracle.rate(index)}"
            if self.clock is None:
                assert ours["step"] == oracle.step, where
                assert all(isinstance(text, str) for text in ours["schedules"].values()), where
            for key, value in theirs.items():
                if key in ours and key not in (*HINTS, *["lr"] * (index in self.stale)):
                    assert near(ours[key], value), f"{where}: {key} {ours[key]}, not {value}"
                assert key in ours or not self.config.kind.torchs or key in HINTS, f"{where}: {key} is lost"
        if not self.joined:
            loose = 1e-6 if self.config.tensor else 1e-12
            for index, found in enumerate(self.last()):
                wanted = oracle.last(index)
                known = oracle.groups[index].sure and not (self.clock and oracle.groups[index].follows is None)
                right = not known or index in self.stale or abs(found - wanted) <= loose * wanted
                assert right, f"group {index} at step {oracle.step}: last_lr {found}, not {wanted}"
        self.check_weights()

    def check_weights(self) -> None:
        for place, (ours, theirs) in enumerate(self.pairs()):
            self.same_weights(place, ours, theirs)
            assert whole(ours), f"what lies between the elements of parameter {place} was written"
            self.check_state(place, ours, theirs)

    def same_weights(self, place: int, ours: nn.Parameter, theirs: nn.Parameter) -> None:
        """In 16 bits: of one update, which every arithmetic rounds otherwise; the next begins where ours ended."""
        where = f"parameter {place} at step {self.oracle.step}"
        if ours.dtype != torch.bfloat16:
            close(ours, theirs, where, self.loose)
            return
        wanted, before = (tensor.detach().float() for tensor in (theirs, self.before.get(place, theirs)))
        spare = 0.3 * (wanted - before).abs() + 0.02 * wanted.abs() + 1e-3
        right = ((ours.detach().float() - wanted).abs() <= spare).all()
        assert right, f"{where}: {ours.tolist()}, not {theirs.tolist()}, from {before.tolist()}"
        self.before[place] = theirs.detach().copy_(ours).clone()

    def check_state(self, place: int, ours: nn.Parameter, theirs: nn.Parameter) -> None:
        where = f"parameter {place} at step {self.oracle.step}"
        found, wanted = self.optimizer.state.get(ours) or {}, self.shadow.state.get(theirs) or {}
        assert plain(found), f"{where}: {found}"
        early = self.states or self.config.kind.name == "Adagrad"  # which makes its state at once
        assert place in self.updated or early or not found, f"{where} has a state without an update"
        if not found and float(wanted.get("step", 1)) == 0:
            return
        for name, value in wanted.items():
            if not self.config.kind.torchs or value is None or ours.dtype == torch.bfloat16:
                continue
            assert name in found, f"{where}: {name} is not in the state"
            if isinstance(value, Tensor) and not value.is_sparse:
                close(found[name], value, f"{where}: {name}", self.loose)
            else:
                assert near(found[name], value), f"{where}: {name} {found[name]}, not {value}"


def in_words(error: Exception) -> None:
    assert len(str(error).split()) > 3, error


def near(a: Any, b: Any) -> bool:
    """Equal; numbers to float64's rounding, or float32's where one was kept in a tensor."""
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, (float, int, Tensor)) and isinstance(b, (float, int, Tensor)):
        loose = 1e-6 if isinstance(a, Tensor) or isinstance(b, Tensor) else 1e-12
        return abs(float(a) - float(b)) <= loose * max(abs(float(a)), abs(float(b))) + 1e-17
    return bool(a == b)


def close(ours: Tensor, theirs: Tensor, where: str, loose: float = 1.0) -> None:
    ours, theirs = ours.detach().double(), theirs.detach().double()
    # weights are about 1, momentum some times that, and what comes by 0 keeps the rounding of the way there
    top = max(2.0, float(theirs.abs().max())) if theirs.numel() else 0.0
    right = torch.allclose(ours, theirs, rtol=1e-5 * loose, atol=1e-6 * top * loose, equal_nan=True)
    assert right, f"{where}: {ours.flatten()[:4].tolist()}, not {theirs.flatten()[:4].tolist()}"
