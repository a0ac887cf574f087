"""The classic ramp on a model, an optimizer and batches of one's own, all of them as they were afterwards."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from tapered.range_test.curve import Curve, stops
from tapered.range_test.unchanged import unchanged
from tapered.range_test.workload import grid, ramped

Loss = Callable[[nn.Module, Any], Tensor]


def ramp_model(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    batches: Iterable[Any],
    *,
    low: float = 1e-6,
    high: float = 10.0,
    points: int = 128,
    generators: Iterable[Any] = (),
) -> Curve:
    """Train `model` for one ramp from where it stands; then it, its optimizer and all generators are as before.

    Every parameter group gets the same rate, `low * (high / low)^(k / (points - 1))` at step k; other hypers follow
    what they follow. What was attached to the optimizer's step rests. See `unchanged` for what is put back.

    Args:
        model: The model; trained in training mode, its parts that are in evaluation mode of their own staying so.
        optimizer: Ours or anybody's, with a key "lr" in each group; its state counts, so it may stand in a run.
        loss: `loss(model, batch)` -> scalar tensor.
        batches: What `loss` takes, one a step. A loader or a list is begun again at its end, an iterator is used up.
        low: Lowest rate.
        high: Highest rate.
        points: How many, on a log grid.
        generators: Of your own, that loss or batches draw from; a DataLoader's are found.

    Raises:
        TypeError: A loss that is no scalar tensor.
        ValueError: The grid, or batches that end before the ramp does.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model, data = nn.Linear(2, 1), [(torch.randn(16, 2), torch.zeros(16, 1)) for _ in range(8)]
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        >>> def loss(model, batch):
        ...     return nn.functional.mse_loss(model(batch[0]), batch[1])
        >>> curve = ramp_model(model, optimizer, loss, data, low=1e-5)
        >>> len(curve.suggestions), optimizer.param_groups[0]["lr"], len(optimizer.state)
        (3, 0.1, 0)
    """
    rates, losses = grid(low, high, points), list[float]()
    with unchanged(model, optimizer, batches, *generators):
        if not model.training:
            model.train()
        source = _endless(batches)
        for rate in rates:
            losses.append(_step(model, optimizer, loss, next(source), rate))
            if stops(losses):
                break
    return ramped(rates, losses)


def _endless(batches: Iterable[Any]) -> Iterator[Any]:
    count = 0
    while True:
        before = count
        for batch in batches:
            count += 1
            yield batch
        if count == before or iter(batches) is batches:
            raise ValueError(
                f"got {count} batches in `batches` before they ended; expected one for each point; try a DataLoader or "
                "a list, which is begun again, or fewer points"
            )


def _step(model: nn.Module, optimizer: torch.optim.Optimizer, loss: Loss, batch: Any, rate: float) -> float:
    """One update at this rate; the loss before it."""
    for group in optimizer.param_groups:
        _set(group, rate)
    optimizer.zero_grad()
    value = loss(model, batch)
    if not isinstance(value, Tensor) or value.numel() != 1:
        raise TypeError(f"loss(model, batch) returned {type(value).__name__}; expected a scalar tensor; try .mean()")
    found = value.item()
    value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    optimizer.step()
    return found


def _set(group: dict[str, Any], rate: float) -> None:
    if "schedules" in group:  # tapered's refuse a rate from outside that a schedule gives
        group["schedules"] = {name: text for name, text in group["schedules"].items() if name != "lr"}
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(rate)
    else:
        group["lr"] = rate
