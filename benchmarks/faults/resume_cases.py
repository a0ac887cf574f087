"""What the resume matrix resumes: torch's schedulers, alone, composed and nested, beside their closed forms.

Every closed form starts from the rate 1.0. The first fourteen are right in torch as long as nobody stops the run.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.optim import lr_scheduler as torchs

from tapered import schedules as ours

Make = Callable[[torch.optim.Optimizer, int], torchs.LRScheduler]


@dataclass(frozen=True)
class Case:
    """A torch scheduler, made with `last_epoch`, and the schedule that it stands for."""

    make: Make
    schedule: ours.Schedule


def inverse(step: int) -> float:
    return 1 / (1 + step)


def factor(step: int) -> float:
    return 0.95 if step % 2 else 0.9


def sequence(optimizer, last, milestones, *parts):
    return torchs.SequentialLR(optimizer, [part(optimizer, last) for part in parts], milestones, last_epoch=last)


def chain(optimizer, last, *parts):
    """A ChainedScheduler takes no `last_epoch`; its parts do."""
    return torchs.ChainedScheduler([part(optimizer, last) for part in parts])


def linear(optimizer, last):
    return torchs.LinearLR(optimizer, 0.1, 1.0, 5, last_epoch=last)


def exponential(optimizer, last):
    return torchs.ExponentialLR(optimizer, 0.9, last_epoch=last)


def half(optimizer, last):
    return torchs.ConstantLR(optimizer, 0.5, 10, last_epoch=last)


RISE, FALL = ours.linear(0.1, 1.0, 5), ours.exponential_decay(1.0, 1, 0.9)
HALF = ours.piecewise_constant((10,), (0.5, 1.0), switch="at")

ALONE = {
    "Exponential": Case(exponential, FALL),
    "Step": Case(lambda o, last: torchs.StepLR(o, 5, 0.5, last), ours.step_decay(1.0, step_size=5, gamma=0.5)),
    "MultiStep": Case(
        lambda o, last: torchs.MultiStepLR(o, [3, 12], 0.5, last), ours.multistep_decay(milestones=(3, 12), gamma=0.5)
    ),
    "Polynomial": Case(
        lambda o, last: torchs.PolynomialLR(o, 40, 2.0, last), ours.polynomial_decay(1.0, 40, end=0.0, power=2.0)
    ),
    "CosineAnnealing": Case(
        lambda o, last: torchs.CosineAnnealingLR(o, 40, 0.1, last), ours.cosine_decay(1.0, 40, end=0.1)
    ),
    "Multiplicative": Case(lambda o, last: torchs.MultiplicativeLR(o, factor, last), ours.cumulative_product(factor)),
    "Linear": Case(lambda o, last: torchs.LinearLR(o, 0.1, 1.0, 20, last), ours.linear(0.1, 1.0, 20)),
    "Constant": Case(half, HALF),
    "Lambda": Case(lambda o, last: torchs.LambdaLR(o, inverse, last), ours.from_function(inverse)),
    "WarmRestarts": Case(
        lambda o, last: torchs.CosineAnnealingWarmRestarts(o, 5, 2, 0.0, last),
        ours.cosine_decay_restarts(1.0, 5, t_mul=2, end=0.0),
    ),
    "OneCycle": Case(
        lambda o, last: torchs.OneCycleLR(o, 1.0, 40, cycle_momentum=False, last_epoch=last),
        ours.one_cycle(1.0, total_steps=40),
    ),
    "Cyclic": Case(
        lambda o, last: torchs.CyclicLR(o, 0.1, 1.0, 5, cycle_momentum=False, last_epoch=last),
        ours.cyclic(1.0, low=0.1, up=5),
    ),
    "Sequential": Case(
        lambda o, last: sequence(o, last, [5], linear, lambda o, last: torchs.CosineAnnealingLR(o, 20, 0.0, last)),
        RISE.until(5).then(ours.cosine_decay(decay_steps=20)),
    ),
    "Chained": Case(lambda o, last: chain(o, last, half, exponential), HALF * FALL),
}
COMPOSED = {
    "Seq(Seq, Exp)": Case(
        lambda o, last: sequence(o, last, [9], lambda o, last: sequence(o, last, [5], linear, half), exponential),
        RISE.until(5).then(HALF).until(9).then(FALL),
    ),
    "Seq(Linear, Seq)": Case(
        lambda o, last: sequence(o, last, [5], linear, lambda o, last: sequence(o, last, [4], half, exponential)),
        RISE.until(5).then(HALF.until(4).then(FALL)),
    ),
    "Seq(Linear, Chained)": Case(
        lambda o, last: sequence(o, last, [5], linear, lambda o, last: chain(o, last, half, exponential)),
        RISE.until(5).then(HALF * FALL),
    ),
    "Seq(Chained, Exp)": Case(
        lambda o, last: sequence(o, last, [5], lambda o, last: chain(o, last, linear, half), exponential),
        (RISE * HALF).until(5).then(FALL),
    ),
    "Chained(Seq, Const)": Case(
        lambda o, last: chain(o, last, lambda o, last: sequence(o, last, [5], linear, exponential), half),
        RISE.until(5).then(FALL) * HALF,
    ),
    "Chained(Lin, Lambda)": Case(
        lambda o, last: chain(o, last, linear, lambda o, last: torchs.LambdaLR(o, inverse, last)),
        RISE * ours.from_function(inverse),
    ),
}
# the eight whose 40 cases FAULTS counts: four that torch restores in its second order, four that it does not
EIGHT = ("Step", "MultiStep", "Polynomial", "CosineAnnealing", "Linear", "Lambda", "OneCycle", "Sequential")
