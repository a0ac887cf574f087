"""The one model that all rows go through: it must remember nothing, since what it remembers would be every row's."""

from functools import lru_cache
from typing import Any

from torch import Tensor, nn

from tapered.training.extras import keepers
from tapered.training.living import TENSOR, UnsteadyError, differing, marks
from tapered.training.objective import forward
from tapered.training.workload import Workload


@lru_cache(maxsize=8)
def shared(workload: Workload) -> "Shared":
    """The one model that all rows of a workload go through.

    Raises:
        UnsteadyError: If it keeps a state of its own.
    """
    model = workload.build(0).train()
    if kept_apart := [name or type(model).__name__ for name in keepers(model)]:
        raise UnsteadyError(
            f"the model keeps a state of its own ({kept_apart[0]}.get_extra_state), and rows that are trained together "
            f'would share it; train one row after another: mode = "loop"'
        )
    return Shared(model)


class Shared:
    """A model that all rows go through, and what it remembers, which must not change.

    Tensors of the first call are let through, as a mask that is kept or what a later layer looks at: another call makes
    the same, or, where it is of the rows, one that nothing can read afterwards.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model, self.held, self.called = model, marks(model), False
        self.trained = [name for name, p in model.named_parameters() if p.requires_grad]

    def check(self) -> None:
        """Refuse what has changed.

        Raises:
            UnsteadyError: With its place.
        """
        now = marks(self.model)
        moved = [
            place for place in differing(self.held, now) if self.called or not now.get(place, "").startswith(TENSOR)
        ]
        if moved:
            raise UnsteadyError(
                f"the model remembers {moved[0]!r}, which is no parameter and no buffer, and rows that are trained "
                f'together would share it; train one row after another: mode = "loop"'
            )
        self.held, self.called = now, True


class Reading(nn.Module):
    """What loss and metrics are computed from, and the model's buffers after it, those assigned anew as well.

    Args:
        workload: The problem.
        model: Its model, which is swapped for a row's by name.
    """

    def __init__(self, workload: Workload, model: nn.Module) -> None:
        super().__init__()
        self.workload, self.model = workload, model

    def forward(self, inputs: Any) -> tuple[Any, dict[str, Tensor]]:
        """The outputs, or what an objective says, and the buffers by name."""
        found = forward(self.workload, self.model, inputs, evaluating=not self.model.training)
        return found, dict(self.model.named_buffers())
