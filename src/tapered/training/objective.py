"""What a workload computes of a batch: its loss, by itself or by an objective, and what metrics are of.

(inputs, targets) ─► model(inputs) ─► loss(outputs, targets)              batch ─► objective(model, batch) ─► losses
                                                                                ╰─► predict(model, batch) ─► metrics
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from tapered.training import trees
from tapered.training.precision import cast, given, under_cast

if TYPE_CHECKING:
    from tapered.training.workload import Workload

Objective = Callable[[nn.Module, Any], Tensor | Mapping[str, Tensor]]


@dataclass(frozen=True)
class Reported:
    """What an objective said of a batch.

    Args:
        losses: By name; "loss" is trained.
        outputs: What the workload's `predict` returned, for its metrics.
        targets: The same.
    """

    losses: dict[str, Tensor]
    outputs: Any = None
    targets: Any = None


def trained(outputs: Reported, _: Any) -> Tensor:
    """The loss of a workload that has an objective."""
    return outputs.losses["loss"]


def forward(workload: "Workload", model: nn.Module, inputs: Any, *, evaluating: bool = False) -> Any:
    """What the loss and, where it is evaluated, the metrics of a batch are computed from.

    Raises:
        TypeError, ValueError: If an objective returns no losses, or others than the workload names.
    """
    if workload.objective is None:
        return model(given(workload.recipe, inputs))
    losses = named(workload, workload.objective(model, inputs))
    if not evaluating or workload.predict is None:
        return Reported(losses)
    if workload.derivatives:  # only the losses need them
        with torch.no_grad():
            return Reported(losses, *workload.predict(model, inputs))
    return Reported(losses, *workload.predict(model, inputs))


def named(workload: "Workload", found: Any) -> dict[str, Tensor]:
    """The losses that an objective returned, by name: "loss" and those that the workload names."""
    losses = dict(found) if isinstance(found, Mapping) else {"loss": found}
    expected = {"loss", *workload.losses}
    if not expected <= losses.keys() or (isinstance(found, Mapping) and losses.keys() - expected):
        raise ValueError(
            f"workload {workload.name!r}: objective returned {', '.join(map(str, losses))}; expected "
            f"{', '.join(sorted(expected))}; try losses={sorted(losses.keys() - {'loss'})!r}, and the one that is "
            f'trained under "loss"'
        )
    return {name: losses[name] for name in ("loss", *workload.losses)}


def functions(workload: "Workload") -> dict[str, Callable[[Any, Any], Any]]:
    """What is evaluated, by name: functions of outputs and targets, as `forward` and the data give them."""
    found: dict[str, Any] = {"loss": under_cast(workload.recipe, workload.loss)}
    if workload.objective is None:
        return found | dict(workload.metrics)
    found |= {name: _loss_called(name) for name in workload.losses}
    return found | {name: _on_predicted(metric) for name, metric in workload.metrics.items()}


def loss_of(workload: "Workload", model: nn.Module, inputs: Any, targets: Any) -> Any:
    """The loss of a batch as a step has it."""
    with cast(workload.recipe):
        return workload.loss(forward(workload, model, inputs), targets)


def _loss_called(name: str) -> Callable[[Any, Any], Tensor]:
    return lambda outputs, _: outputs.losses[name]


def _on_predicted(metric: Any) -> Callable[[Any, Any], Any]:
    return lambda outputs, _: metric(outputs.outputs, outputs.targets)


def shown(outputs: Any, targets: Any) -> tuple[Any, Any]:
    """What a metric that is an object is updated by."""
    return (outputs.outputs, outputs.targets) if isinstance(outputs, Reported) else (outputs, targets)


def weighed(workload: "Workload", inputs: Any, targets: Any) -> Any:
    """What the workload's `weight` is a function of."""
    return targets if workload.objective is None else inputs


def strange_of(inputs: Any, targets: Any) -> str | None:
    """What of a batch rows cannot take: "input holds a str"; None where they can."""
    for what, tree in (("input", inputs), ("target", targets)):
        strange = None if tree is None else trees.strange_of(tree)
        if strange is not None:
            return f"{what} holds a {strange}"
    return None
