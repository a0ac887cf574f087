"""Q3: what `minimize` counts."""

from collections.abc import Mapping

import torch

from tapered.claims.base import Answer, Claim, Summary
from tapered.optim import Adam
from tapered.schedules import exponential_decay
from tapered.workloads import bmi

EPOCHS = 2.0


def judge(_: Mapping[str, Summary]) -> Answer:
    """Whether the step rises by one per minibatch.

    Confirmed if, over 2 epochs of the BMI data, `minimize` moves the counter by exactly one each time and to
    `epochs_to_steps(2)`, update k is made at schedule(k), and an update that a GradScaler leaves out, whose gradient is
    infinite, does not move it; refuted if the counter ends at the number of epochs; else depends.
    """
    workload = bmi()
    steps, rate = workload.epochs_to_steps(EPOCHS), exponential_decay(1e-3, 1, 0.9999)
    model = workload.build(0)
    optimizer = Adam(model.parameters(), lr=rate)
    by_one = 0
    for step in range(steps):
        inputs, targets = workload.fetch("train", workload.batch(0, step))
        before = optimizer.steps
        optimizer.minimize(workload.loss(model(inputs), targets))
        by_one += optimizer.steps == before + 1 and optimizer.last_lr[0] == rate(step)
    counted = optimizer.steps
    scaler = torch.amp.GradScaler("cpu")
    scaler.scale(model(inputs).sum() * torch.inf).backward()
    scaler.step(optimizer)
    skipped = optimizer.steps == counted
    good = by_one == counted == steps and skipped
    return Answer(
        "confirmed" if good else "refuted" if counted == EPOCHS else "depends",
        f"{EPOCHS:g} epochs of {workload.steps_per_epoch} minibatches moved the counter to {counted}, by one each "
        f"and at schedule(step) in {by_one} of {steps}; a skipped update {'did not move' if skipped else 'moved'} it",
        {
            "epochs": EPOCHS,
            "minibatches": steps,
            "counted": counted,
            "by_one": by_one,
            "skipped_counts": int(not skipped),
        },
    )


CLAIM = Claim(
    "Q3", "minimize(loss, global_step) raises the step by one for each minibatch, not for each epoch.", (), judge
)
