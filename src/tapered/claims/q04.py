"""Q4: the slots that Adam adds."""

import tempfile
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tapered.checkpoint import resume, save
from tapered.claims.base import Answer, Claim, Summary
from tapered.optim import Adam
from tapered.workloads import bmi

STEPS = 20


def judge(_: Mapping[str, Summary]) -> Answer:
    """Whether Adam's slots exist before the first step, and live through a save.

    Confirmed if `init_state` makes two slots for each variable, all zero, before any step; training from there is
    bitwise training without it; and a run saved halfway and restored into another model and optimizer ends bitwise
    as the uninterrupted one. Refuted if there are no slots; else depends.
    """
    workload = bmi()

    def parts(seed: int) -> tuple[nn.Module, Adam]:
        model = workload.build(seed)
        return model, Adam(model.parameters(), lr=1e-3)

    def train(model: nn.Module, optimizer: Adam, start: int, stop: int) -> list[Tensor]:
        for step in range(start, stop):
            inputs, targets = workload.fetch("train", workload.batch(0, step))
            optimizer.minimize(workload.loss(model(inputs), targets))
        return [param.detach().clone() for param in model.parameters()]

    plain = train(*parts(0), 0, STEPS)
    model, optimizer = parts(0)
    optimizer.init_state()
    slots = [tensor for state in optimizer.state.values() for name, tensor in state.items() if name != "step"]
    variables = len(list(model.parameters()))
    made = len(slots) == 2 * variables and all(bool((tensor == 0).all()) for tensor in slots)
    with tempfile.TemporaryDirectory() as folder:
        train(model, optimizer, 0, STEPS // 2)
        save(folder, STEPS // 2, model=model, optimizer=optimizer)
        same = [_equal(train(model, optimizer, STEPS // 2, STEPS), plain)]
        model, optimizer = parts(1)
        start = resume(folder, model=model, optimizer=optimizer).step
        same.append(_equal(train(model, optimizer, start, STEPS), plain))
    return Answer(
        "refuted" if not slots else "confirmed" if made and all(same) else "depends",
        f"before any step there were {len(slots)} slots of {variables} variables, {'all' if made else 'not all'} "
        f"zero; made early, and saved and restored halfway, {sum(same)} of 2 runs ended bitwise as the plain one",
        {"slots": len(slots), "variables": variables, "same": sum(same), "runs": len(same)},
    )


def _equal(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))


CLAIM = Claim("Q4", "Variables are to be initialised together with the slots that AdamOptimizer() adds.", (), judge)
