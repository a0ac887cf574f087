"""What a comparison of rates at one weight decay compares besides: decoupled decay takes lr * weight_decay a step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tapered.rules import decouples
from tapered.study.file.arms import Arm
from tapered.study.result.asked import Asked
from tapered.study.result.values import ArmResult
from tapered.theory import shares
from tapered.training.rows import Path


@dataclass(frozen=True, eq=False)
class _Decaying:
    """An arm at its best peak: its decay at every step, and how much of the first weights it leaves."""

    name: str
    decay: NDArray[np.float64]
    left: float


def weakened(asked: Asked, arms: Sequence[ArmResult]) -> Iterator[str]:
    """A sentence where arms have one weight_decay, and their rates make it more to one than to another."""
    found = [arm for arm in (_decaying(asked, arm) for arm in arms) if arm is not None]
    while len(found) > 1:
        alike = [arm for arm in found if np.array_equal(arm.decay, found[0].decay)]
        least, most = (pick(alike, key=lambda arm: arm.left) for pick in (min, max))
        if most.left > least.left:
            decay = f"{least.decay.max():g}"
            yield (
                f"Arms have one weight_decay, {decay}, which takes lr * weight_decay of the weights a step, less where "
                f"the rate is lower: of the first weights {least.left:.2g} ({least.name}) to {most.left:.2g} "
                f"({most.name}) is left, so that arms differ by their decay too. Try other weight_decays, or "
                f'hypers = {{ weight_decay = "{decay} * shape" }}, a decay that follows the rate.'
            )
        found = [arm for arm in found if arm not in alike]


def _decaying(asked: Asked, result: ArmResult) -> _Decaying | None:
    arm = next(arm for arm in asked.study.arms if arm.name == result.name)
    if "weight_decay" not in arm.hypers or not decouples(arm.at(result.best.peak).build()):
        return None
    paths = [path.hypers for path in _paths(asked, arm, result)]
    decay = paths[0]["weight_decay"]
    if not decay.any():
        return None
    left = [shares(hypers["lr"], hypers["weight_decay"], asked.steps).start for hypers in paths]
    return _Decaying(arm.name, decay, sum(left) / len(left))


def _paths(asked: Asked, arm: Arm, result: ArmResult) -> list[Path]:
    """Its hypers at every step, at its best peak; those of each run where its rate followed it."""
    follows = arm.at(result.best.peak).following(asked.steps, result.best.peak)
    if follows is None:
        return [arm.path(asked.steps, result.best.peak)]
    applied = [follows.schedule(follows.decisions(run)) for run in result.best.runs]
    return [arm.path(asked.steps, result.best.peak, lr=rate) for rate in applied]
