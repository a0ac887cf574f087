"""What a guard raises, right before the update that would have destroyed the run.

GradientError    the gradient cannot be used, and the policy does not go on
Rewound          the run is back at its last finite checkpoint: go on from there
"""

from tapered.checkpoint import Resumed
from tapered.guards.faults import Fault


class GradientError(ArithmeticError):
    """A gradient that no update can use; `fault` says where and what, the message also what to do.

    Args:
        fault: the first one that was found.
        text: what it means for the run.

    Example:
        >>> import torch, tapered
        >>> from tapered.guards import guard
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = tapered.SGD([weight], lr=0.1)
        >>> watching = guard(optimizer, "raise")
        >>> try:
        ...     optimizer.minimize(float("nan") * weight.sum())
        ... except GradientError as error:
        ...     print(error.fault.step, error.fault.entries, weight.tolist())
        0 2 [1.0, 1.0]
    """

    def __init__(self, fault: Fault, text: str) -> None:
        super().__init__(fault, text)
        self.fault = fault

    def __str__(self) -> str:
        return f"{self.fault}; {self.args[1]}"


class Rewound(Exception):  # noqa: N818  # no error: the way a training loop learns where to go on
    """Everything is as it was at a checkpoint; the next update is `resumed.step`.

    Args:
        fault: why.
        resumed: what `tapered.checkpoint.resume` returned.

    Example:
        >>> import tempfile, torch, tapered
        >>> from tapered.checkpoint import save
        >>> from tapered.guards import guard
        >>> weight, folder = torch.nn.Parameter(torch.ones(2)), tempfile.mkdtemp()
        >>> optimizer = tapered.SGD([weight], lr=0.1)
        >>> path = save(folder, 0, weight=weight, optimizer=optimizer)
        >>> watching = guard(optimizer, "rewind", folder=folder, weight=weight, optimizer=optimizer)
        >>> try:
        ...     optimizer.minimize(float("nan") * weight.sum())
        ... except Rewound as back:
        ...     print("go on at step", back.resumed.step)
        go on at step 0
    """

    def __init__(self, fault: Fault, resumed: Resumed) -> None:
        super().__init__(fault, resumed)
        self.fault, self.resumed = fault, resumed

    def __str__(self) -> str:
        return (
            f"{self.fault}; the run is back at step {self.resumed.step} ({self.resumed.folder.name}): go on from "
            "there, `except Rewound as back: step = back.resumed.step`"
        )
