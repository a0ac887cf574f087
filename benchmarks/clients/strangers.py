"""attach() on strangers' optimizers: is the rate in force the closed form's, at every update and after every resume?

    python benchmarks/clients/strangers.py [--json] [--only NAME ...]

torch's own, and whatever of pytorch_optimizer, bitsandbytes, torchao and schedulefree is installed beside tapered, each
driven in every way that its readme has (step, a closure, first_step and second_step, ...). The oracle is the same
optimizer without a clock, driven alike, its rate assigned by hand from the closed form at every step, its state loaded
by hand. Per optimizer: 12 updates, counted; the base rate; its state through a file after 7, in each order that a
script may load (attach, o: the optimizer's state, c: the clock's); and detach.

right     every rate is the closed form's, all weights are those of the run by hand, bit for bit (kron: to 1e-7, since
          it does not repeat itself)
refused   attach, or the first step, says why before a weight has moved
wrong     anything else
skipped   the optimizer itself cannot be made, take a step or go on from its own state here
"""

import argparse
import contextlib
import io
import json
import logging
import pickle
import random
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from strangers_found import MATRIX, Maker, found, missing
from torch import nn

from tapered import schedules
from tapered.attach import Clock, attach

RATE = 0.01 * schedules.linear(0.4, 1.0, steps=6) * schedules.cosine_decay(decay_steps=30)  # rises, then falls
DONE, NEXT = 7, 5
ORDERS = [("attach", "o"), ("o", "attach"), ("attach", "o", "c"), ("attach", "c", "o"), ("o", "attach", "c")]
Weights = list[torch.Tensor]


class WrongError(Exception):
    """A rate or a weight differs from the run by hand."""


class SkippedError(Exception):
    """The optimizer does not work here without tapered either."""


class Run:
    """Two parameters under an optimizer; with a clock, or with its rate written by hand."""

    def __init__(self, maker: Maker) -> None:
        torch.manual_seed(0)
        self.params = [nn.Parameter((0.1 * torch.randn(shape)).to(maker.dtype)) for shape in maker.shapes]
        self.maker, self.optimizer = maker, maker.make(self.params)
        self.followed = getattr(self.optimizer, maker.attached) if maker.attached else self.optimizer
        self.clock: Clock | None = None
        self.bases = [float(group["lr"]) for group in self.groups if "lr" in group]
        if hasattr(self.optimizer, "train"):  # schedulefree's mode
            self.optimizer.train()

    @property
    def groups(self) -> list[dict]:
        return self.followed.param_groups

    def attach(self) -> None:
        self.clock = attach(self.followed, lr=RATE)

    def step(self, k: int) -> None:
        """Update k, from weights and noise of its own; the rate in force is compared."""
        self.write(RATE(k))
        torch.manual_seed(k)
        random.seed(k)
        targets = [torch.randn_like(param) for param in self.params]

        def loss() -> torch.Tensor:
            return sum(((p - t) ** 2).mean() + (p**4).mean() for p, t in zip(self.params, targets, strict=True))

        @torch.enable_grad()
        def closure() -> torch.Tensor:
            self.optimizer.zero_grad()
            found = loss()
            found.backward(create_graph=self.maker.second)
            return found

        self.maker.drive(self.optimizer, closure, loss)
        if self.clock is not None and (self.clock.step, set(self.clock.last_lr)) != (k + 1, {RATE(k)}):
            raise WrongError(f"{self.clock} at rates {self.clock.last_lr} after update {k} at {RATE(k)!r}")
        shown = RATE(k if self.clock is None else k + 1)  # the rate that the next update will use
        for group in self.groups:
            if "lr" in group and float(group["lr"]) not in (shown, float(torch.tensor(shown))):
                raise WrongError(f"the rate is {float(group['lr'])!r} after step {k}, the closed form's {shown!r}")
        self.write(RATE(k + 1))  # as torch's schedulers do, and LBFGS keeps a tensor rate among its state
        if hasattr(self.optimizer, "train") and hasattr(self.optimizer, "eval"):
            self.optimizer.eval()
            self.optimizer.train()

    def write(self, rate: float) -> None:
        """As a careful user does by hand, where there is no clock."""
        for group in self.groups if self.clock is None else ():
            if isinstance(group.get("lr"), torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def saved(self) -> bytes:
        """As a file."""
        file = io.BytesIO()
        torch.save({"o": self.optimizer.state_dict(), "c": self.clock and self.clock.state_dict()}, file)
        return file.getvalue()

    def weights(self) -> Weights:
        return [param.detach().clone() for param in self.params]

    def begin(self, weights: Weights) -> None:
        with torch.no_grad():
            for param, value in zip(self.params, weights, strict=True):
                param.copy_(value)


def loaded(file: bytes) -> dict:
    try:
        return torch.load(io.BytesIO(file), weights_only=True)
    except pickle.UnpicklingError:  # the optimizer's own state is not tensors and plain values alone
        return torch.load(io.BytesIO(file), weights_only=False)


def same(run: Run, theirs: Weights, when: str) -> None:
    ours, noise = run.weights(), run.maker.noise
    if not all(torch.allclose(a, b, rtol=0, atol=noise, equal_nan=True) for a, b in zip(ours, theirs, strict=True)):
        furthest = max((a - b).abs().max().item() for a, b in zip(ours, theirs, strict=True))
        raise WrongError(f"weights differ {when} by up to {furthest:.3g}")


@dataclass(frozen=True)
class ByHand:
    """What the optimizer does without tapered."""

    half: Weights  # after DONE updates
    whole: Weights  # after all
    resumed: Weights  # after all, its own state loaded in between


def by_hand(maker: Maker) -> ByHand:
    """The oracle.

    Raises:
        SkippedError: it does not work here.
    """
    try:
        run = Run(maker)
        for k in range(DONE):
            run.step(k)
        half, file, again = run.weights(), run.saved(), Run(maker)
        again.begin(half)
        again.optimizer.load_state_dict(loaded(file)["o"])
        for k in range(DONE, DONE + NEXT):
            run.step(k)
            again.step(k)
    except WrongError as error:
        raise SkippedError(f"it writes its own rate: {error}") from error
    except Exception as error:
        raise SkippedError(f"{type(error).__name__}: {error}") from error
    return ByHand(half, run.weights(), again.weights())


def judge(maker: Maker) -> tuple[str, str]:
    """The word and what is to be said about it."""
    try:
        hand = by_hand(maker)
    except SkippedError as error:
        if maker.shapes != MATRIX:  # some take matrices only
            return judge(replace(maker, shapes=MATRIX))
        return "skipped", str(error)
    run = Run(maker)
    before = run.weights()
    try:
        run.attach()
        run.step(0)
    except (ValueError, TypeError) as error:
        moved = any(not torch.equal(a, b) for a, b in zip(before, run.weights(), strict=True))
        return ("wrong" if moved else "refused"), str(error)
    except Exception as error:  # noqa: BLE001  # whatever is raised is the finding
        return "wrong", f"{type(error).__name__}: {error}"
    try:
        file = through(run, hand)
        refusals = [said for order in ORDERS if (said := resumed(maker, order, loaded(file), hand))]
        detached(run)
    except Exception as error:  # noqa: BLE001  # whatever is raised is the finding
        return "wrong", f"{type(error).__name__}: {error}"
    return ("refused", "; ".join(refusals)) if refusals else ("right", "")


def through(run: Run, hand: ByHand) -> bytes:
    """The other updates, and the state saved on the way."""
    for k in range(1, DONE):
        run.step(k)
    same(run, hand.half, f"after {DONE} updates")
    file = run.saved()
    for k in range(DONE, DONE + NEXT):
        run.step(k)
    same(run, hand.whole, "at the end")
    if [group["initial_lr"] for group in run.groups] != run.bases:
        raise WrongError("the base rate is lost")
    return file


def resumed(maker: Maker, order: tuple[str, ...], states: dict, hand: ByHand) -> str:
    """A new optimizer takes the states in this order and goes on; a refusal's sentence, or nothing."""
    run = Run(maker)
    run.begin(hand.half)
    try:
        for part in order:
            if part == "attach":
                run.attach()
            else:
                (run.optimizer if part == "o" else run.clock).load_state_dict(states[part])
        run.step(DONE)
    except ValueError as error:
        same(run, hand.half, f"though {'-'.join(order)} was refused")
        return f"{'-'.join(order)}: {error}"
    for k in range(DONE + 1, DONE + NEXT):
        run.step(k)
    same(run, hand.resumed, f"after {'-'.join(order)}")
    return ""


def detached(run: Run) -> None:
    run.clock.detach()
    run.clock = None
    if [float(group["lr"]) for group in run.groups] != run.bases:
        raise WrongError("detach leaves another rate than the base")
    if any("initial_lr" in group for group in run.groups):
        raise WrongError("detach leaves initial_lr")
    run.step(DONE + NEXT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs="+", default=[], help="optimizers by name, as package.Name or Name")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable()
    say: Callable[..., None] = (lambda *_, **_options: None) if chosen.json else print
    counts: dict[str, Counter] = {}
    for maker in found():
        if chosen.only and not {maker.name, maker.name.split()[0], f"{maker.package}.{maker.name}"} & set(chosen.only):
            continue
        with contextlib.redirect_stdout(io.StringIO()):  # some talk
            word, said = judge(maker)
        counts.setdefault(maker.package, Counter())[word] += 1
        shown = textwrap.wrap(textwrap.shorten(said, 330, placeholder=" ..."), 110) or [""]
        say(f"{maker.package + '.' + maker.name:56} {word:8}".rstrip(), *shown[: bool(said)], sep="  ")
        say(*(f"{'':12}{more}\n" for more in shown[1:]), sep="", end="")
    if not chosen.only:
        say("left out:", ", ".join(missing()) or "none")
    total = sum(counts.values(), Counter())
    words = ("right", "refused", "wrong", "skipped")
    if chosen.json:
        print(json.dumps({"optimizers": total.total(), **{word: total[word] for word in words}}))
        return
    for package, found_ in [*counts.items(), ("all", total)]:
        print(f"{package:20}", ", ".join(f"{found_[word]} {word}" for word in words))


if __name__ == "__main__":
    main()
