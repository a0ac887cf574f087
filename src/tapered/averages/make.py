"""`average`: what is checked before an average is kept."""

from typing import Literal

import torch
from torch import nn

from tapered.attach.layers import maker, takes_hooks
from tapered.averages.live import LiveAverage
from tapered.checkpoint.parts import unwrapped
from tapered.optim import Optimizer
from tapered.rules.averaged import BatchNorm
from tapered.training.averages import Average

LONGEST = 2**53  # updates that a run of unknown length may have
EXAMPLE = 'average(optimizer, "ema", decay=0.999)'


def average(
    of: torch.optim.Optimizer | nn.Module,
    kind: Literal["ema", "swa", "lawa"],
    *,
    decay: float | None = None,
    ramp: str | None = None,
    start: float | None = None,
    every: float | None = None,
    latest: int | None = None,
    batch_norm: BatchNorm = "trained",
    buffers: Literal["trained", "averaged"] = "trained",
    model: nn.Module | None = None,
    steps: int | None = None,
) -> LiveAverage:
    r"""Keep an average of the weights that an optimizer makes, or of a model's. Training does not notice it.

    With n the number of weights taken, from 1, after the applied updates `start`, `start + every`, ...:

        ema     average <- d average + (1 - d) w,  d = min(decay, ramp(n));  the first is a copy
        swa     average <- average + (w - average) / n
        lawa    the mean of the latest `latest` that were taken

    It is the average that studies have as an arm (`tapered.training.averages.Average`), whose fields these are. Only
    applied updates count: no step that a GradScaler or a guard leaves out, no accumulation, no evaluation of a
    closure. It is kept in float32 at least, from the first weights taken on.

    A parameter that joins the optimizer later is averaged as though it had stood still until then.

    Args:
        of: any `torch.optim.Optimizer`, attached, guarded or neither; of several optimizers give each an average. Or a
            model, whose `update()` is then to be called after each update.
        kind: "ema", "swa" or "lawa".
        decay: Of "ema", which needs it, in [0, 1).
        ramp: Of "ema", a formula of t = n, such as "(1+t)/(10+t)"; the decay is at most its value.
        start: The update whose weights are the first; or, where `steps` are given, a share of them below 1. "swa" needs
            it.
        every: Updates from one to the next, or such a share; "lawa" needs it, for the others it is 1 where not said.
        latest: Of "lawa", which needs it, how many; each takes as much memory as the weights.
        batch_norm: BatchNorm's statistics where the average is read out: "trained", those of the model, or
            "recomputed", from the minibatches that `readout(batches)` is given.
        buffers: "averaged" averages the model's buffers of real numbers as its weights; integers stay the model's.
        model: What the parameters belong to: their names then are its own in a saved state.
        steps: Updates in the run, for shares.

    Returns:
        The average: `readout`, `updates`, `state_dict`, `load_state_dict`, `restart`, `detach`.

    Raises:
        TypeError, ValueError: a field out of range, missing, or not of this kind; an optimizer that takes no hooks, has
            an average of its own, or whose parameters are spread over processes.

    Example:
        >>> import torch, tapered
        >>> weight = torch.nn.Parameter(torch.zeros(1))
        >>> optimizer = torch.optim.SGD([weight], lr=1.0)
        >>> average = tapered.average(optimizer, "swa", start=2)
        >>> for _ in range(4):
        ...     optimizer.zero_grad()
        ...     (-weight).sum().backward()
        ...     optimizer.step()
        >>> with average.readout():
        ...     print(weight.item())
        3.0
        >>> weight.item()
        4.0
    """
    if not isinstance(of, (torch.optim.Optimizer, nn.Module)):
        raise TypeError(f"got {of!r:.80}; expected an optimizer or a model; try {EXAMPLE}")
    if kind not in ("ema", "swa", "lawa"):
        raise ValueError(f'got kind={kind!r}; expected "ema", "swa" or "lawa"; try {EXAMPLE}')
    if buffers not in ("trained", "averaged"):
        raise ValueError(f'got buffers={buffers!r}; expected "trained" or "averaged"')
    asked = _whole(Average(kind, decay, ramp, start, every, latest, batch_norm), steps)
    if isinstance(of, nn.Module):
        if model is not None:
            raise TypeError("got a model twice; try average(model, ...), or average(optimizer, ..., model=model)")
        return LiveAverage(asked, None, unwrapped(of), averages_buffers=buffers == "averaged")
    takes_hooks(of, "average")
    inner = maker(of)
    if isinstance(inner, Optimizer):
        for group in inner.param_groups:
            asked.wrapped(inner.rule(group))  # which refuses an average of an average
    for name, value, plain in (("batch_norm", batch_norm, "trained"), ("buffers", buffers, "trained")):
        if model is None and value != plain:
            raise TypeError(f"got {name}={value!r} without the model whose they are; try average(..., model=model)")
    return LiveAverage(asked, of, None if model is None else unwrapped(model), averages_buffers=buffers == "averaged")


def _whole(asked: Average, steps: int | None) -> Average:
    """The same with numbers of updates in the place of shares of `steps`, and none left out.

    Raises:
        ValueError: a share of a run whose length is not said.
    """
    shares = [name for name in ("start", "every") if (value := getattr(asked, name)) is not None and value < 1]
    if shares and steps is None:
        raise ValueError(
            f"got {shares[0]}={getattr(asked, shares[0])!r}, a share of a run whose length is not said; try "
            f"{shares[0]}=100, or steps=..."
        )
    if steps is not None and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
        raise ValueError(f"got steps={steps!r}; expected the updates of the run, a whole number >= 1; try steps=1000")
    return asked.settled(LONGEST if steps is None else steps)
