"""42 bad inputs to schedules and bad states of schedules and optimizers, rows 21 to 39 of the list of faults."""

import math
from collections.abc import Callable
from typing import Any

import torch
from inputs.judge import Bad
from inputs.runs import COSINES, Rate, Shown, amid, argument, cosine, function, of_optimizer, state, train, weights
from torch.optim import lr_scheduler as torchs

from tapered import schedules as ours

NAN = math.nan
STEPS = "T_max|decay_steps|total_iters|steps"


def horizon(steps: Any) -> Bad:
    made = argument(lambda o: cosine(o, steps), lambda: ours.cosine_decay(0.1, steps))
    return Bad(21, f"a horizon of {steps!r}", STEPS, made)


def one_cycle(steps: int) -> Bad:
    made = argument(lambda o: torchs.OneCycleLR(o, 0.1, steps), lambda: ours.one_cycle(0.1, total_steps=steps))
    return Bad(21, f"one cycle of {steps} steps", "total_steps", made)


def warmup(steps: int) -> Bad:
    def theirs(optimizer: torch.optim.Optimizer) -> torchs.LRScheduler:
        parts = [torchs.LinearLR(optimizer, 0.1, 1.0, steps), cosine(optimizer, 3 - steps)]
        return torchs.SequentialLR(optimizer, parts, [steps])

    made = argument(theirs, lambda: 0.1 * ours.warmup(steps).then(ours.cosine_decay(decay_steps=3 - steps)))
    return Bad(23, f"a warmup of {steps} steps in a run of 3", STEPS, made)


def floor(value: float) -> Bad:
    made = argument(
        lambda o: torchs.CosineAnnealingLR(o, 10, eta_min=value), lambda: ours.cosine_decay(0.1, 10, end=value)
    )
    return Bad(24, f"a floor of {value!r} below 0.1", "eta_min|end", made)


def gamma(value: float) -> Bad:
    made = argument(lambda o: torchs.ExponentialLR(o, value), lambda: ours.exponential_decay(0.1, 1, value))
    return Bad(25, f"gamma={value!r}", "gamma|decay_rate", made)


def step_size(value: float) -> Bad:
    made = argument(
        lambda o: torchs.StepLR(o, value), lambda: 0.1 * ours.from_function(lambda _: 1.0, steps=9).staircase(value)
    )
    return Bad(25, f"step_size={value!r}", "step_size|steps", made)


def milestones(*values: float) -> Bad:
    def theirs(optimizer: torch.optim.Optimizer) -> torchs.LRScheduler:
        parts = [torchs.ConstantLR(optimizer, 0.5**n, 99) for n in range(len(values) + 1)]
        return torchs.SequentialLR(optimizer, parts, list(values))

    made = argument(theirs, lambda: ours.piecewise_constant(values, [0.1 / 2**n for n in range(len(values) + 1)], "at"))
    return Bad(26, f"milestones {values}", "milestones|boundaries", made)


def past_the_end(optimizer: torch.optim.Optimizer, scheduler: Any = None) -> Shown:
    return train(optimizer, scheduler, 5)


def stepped_first(optimizer: torch.optim.Optimizer, scheduler: Any) -> Shown:
    scheduler.step()
    return train(optimizer, scheduler, 5)


def twice(optimizer: torch.optim.Optimizer, scheduler: Any = None) -> Shown:
    torchs.ExponentialLR(optimizer, 0.5).step()
    return train(optimizer, scheduler, 3)


def late_group(optimizer: torch.optim.Optimizer, scheduler: Any = None) -> Shown:
    optimizer.add_param_group({"params": [weights("c")[0]] if scheduler is None else weights("c")})
    return train(optimizer, scheduler, 3)


def at(action: Callable[[Any], object], *path: Any) -> Callable[[dict[str, Any]], object]:
    """An action on what lies in a state under a path of keys."""

    def act(saved: dict[str, Any]) -> object:
        part: Any = saved
        for key in path:
            part = part[key]
        return action(part)

    return act


def put(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda part: part.update({key: value})


def drop(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda part: part.pop(key)


def fill(key: str, value: float) -> Callable[[dict[str, Any]], object]:
    return lambda part: part[key].fill_(value)


def of_another_optimizer(saved: dict[str, Any]) -> None:
    """SGD's, with momentum."""
    other = torch.optim.SGD(weights(), lr=0.1, momentum=0.9)
    train(other, steps=3)
    saved.update(other.state_dict())


GROUP, MOMENTS, SCHEDULES = ("param_groups", 0), ("state", 1), ("param_groups", 0, "schedules")
EXPONENTIAL = Rate(lambda o: torchs.ExponentialLR(o, 0.9), ours.exponential_decay(0.1, 1, 0.9))
LINEAR = Rate(lambda o: torchs.LinearLR(o, 0.1, 1.0, 10), ours.linear(0.01, 0.1, 10))
LONGER = Rate(lambda o: cosine(o, 20), ours.cosine_decay(0.1, 20))
CYCLE = Rate(lambda o: torchs.OneCycleLR(o, 0.1, 10, cycle_momentum=False), ours.one_cycle(0.1, total_steps=10))
CASES = [
    *map(horizon, (0, -3, NAN, "4")),
    one_cycle(0),
    Bad(22, "a cosine past its end", "steps", amid(past_the_end, past_the_end, at=9)),
    Bad(22, "one cycle past its end", "steps", amid(stepped_first, past_the_end, at=10, run=CYCLE)),
    warmup(3),
    *map(floor, (0.2, NAN)),
    *map(gamma, (-1, NAN)),
    *map(step_size, (0, 1.5)),
    milestones(4, 2),
    milestones(2, NAN),
    milestones(0),
    *(Bad(27, f"a function gives {value!r}", "function|lr", function(value), value) for value in (NAN, -1, None, "x")),
    Bad(28, "a second scheduler on top", "lr", amid(twice, twice, at=1)),
    Bad(29, "a group added late", "lr", amid(late_group, late_group, at=3)),
    Bad(30, "another horizon on resume", "lr|T_max", state(into=LONGER, wanted=LONGER.mine)),
    Bad(31, "optimizer loaded before its scheduler is built", "lr", state(run=LINEAR, optimizer_first=True)),
    Bad(32, "no state of the schedule", "lr|step", state(drop("scheduler"), at(drop("schedules"), *GROUP))),
    Bad(32, "no state of the optimizer", "state", state(drop("optimizer"), put("state", {}))),
    Bad(33, "the state of another schedule", "lr", state(run=EXPONENTIAL, into=COSINES)),
    Bad(33, "a strange key", "rho", state(at(put("rho", 0.9), "scheduler"), at(put("rho", "0.9"), *SCHEDULES))),
    Bad(
        34,
        "a value named like a method",
        "get_lr",
        state(at(put("get_lr", lambda: [666.0]), "scheduler"), at(put("rule", 666.0), *GROUP)),
    ),
    Bad(
        34, "a step that is text", "step", state(at(put("last_epoch", "x"), "scheduler"), at(put("step", "x"), *GROUP))
    ),
    Bad(35, "parameters in another order", "params", state(named=lambda: weights("ba"))),
    Bad(36, "another number of groups", "groups?", state(**of_optimizer(put("param_groups", [])))),
    Bad(36, "parameters of another shape", "shape", state(named=lambda: weights(size=4))),
    Bad(37, "another optimizer's state", "betas|state", state(**of_optimizer(of_another_optimizer))),
    Bad(37, "a moment missing", "exp_avg", state(**of_optimizer(at(drop("exp_avg"), *MOMENTS)))),
    Bad(37, "a count missing", "step", state(**of_optimizer(at(drop("step"), *MOMENTS)))),
    Bad(38, "a saved rate of NaN", "lr", state(**of_optimizer(at(put("lr", NAN), *GROUP)))),
    Bad(38, "a saved moment of NaN", "exp_avg", state(**of_optimizer(at(fill("exp_avg", NAN), *MOMENTS)))),
    Bad(38, "a negative second moment", "exp_avg_sq", state(**of_optimizer(at(fill("exp_avg_sq", -1), *MOMENTS)))),
    Bad(38, "a saved step of -5", "step", state(**of_optimizer(at(fill("step", -5), *MOMENTS)))),
    Bad(39, "an empty state", "state", state(**of_optimizer(put("state", {})))),
]
