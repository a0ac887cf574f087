"""Q1: the usual program, Adam at a constant rate, with the numbers of TensorFlow 1 and of torch."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from tapered import tensorflow1
from tapered.claims.base import Answer, Claim, Summary
from tapered.claims.golden import golden
from tapered.optim import Adam

RATE = 1e-4
EXACT = 1e-9


def judge(_: Mapping[str, Summary]) -> Answer:
    """Whether that program runs here with the same numbers.

    Confirmed if, in float64 and over the same gradients, `tensorflow1.AdamOptimizer` gives TensorFlow's weights and
    `Adam(lr=1e-4)` torch's within a relative difference of 1e-9; refuted if neither does; else depends. How many
    programs are written that way is not measured.
    """
    known = golden()

    def stepped(make: Callable[[list[torch.nn.Parameter]], torch.optim.Optimizer]) -> Tensor:
        weight = torch.nn.Parameter(known.start.clone())
        optimizer = make([weight])
        for gradient in known.gradients:
            weight.grad = gradient.clone()
            optimizer.step()
        return weight.detach()

    with_tensorflow = stepped(lambda params: tensorflow1.AdamOptimizer(params, 0.05))
    tensorflow = _apart(with_tensorflow, known.constant)
    own = stepped(lambda params: Adam(params, lr=RATE, fused=False))
    from_torch = _apart(own, stepped(lambda params: torch.optim.Adam(params, lr=RATE)))
    # epsilon stands elsewhere, which shows where gradients are small
    apart = (stepped(lambda params: tensorflow1.AdamOptimizer(params, RATE)) - own).abs().max().item() / RATE
    same = [tensorflow <= EXACT, from_torch <= EXACT]
    return Answer(
        "confirmed" if all(same) else "depends" if any(same) else "refuted",
        f"over {len(known.gradients)} steps the weights differ from TensorFlow {known.version}'s by at most "
        f"{tensorflow:.1e} of themselves and from torch's by {from_torch:.1e}; between the two, which place epsilon "
        f"differently, lie {apart:.1e} of a rate",
        {"tensorflow": tensorflow, "torch": from_torch, "between_in_rates": apart, "steps": len(known.gradients)},
    )


def _apart(found: Tensor, wanted: Tensor) -> float:
    """The largest relative difference."""
    return float(((found - wanted).abs() / wanted.abs()).max())


CLAIM = Claim("Q1", "Most code uses AdamOptimizer(1e-4), at a constant rate.", (), judge)
