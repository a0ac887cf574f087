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
    """

    def __init__(self, fault: Fault, resumed: Resumed) -> None:
        super().__init__(fault, resumed)
        self.fault, self.resumed = fault, resumed

    def __str__(self) -> str:
        return (
            f"{self.fault}; the run is back at step {self.resumed.step} ({self.resumed.folder.name}): go on from "
            "there, `except Rewound as back: step = back.resumed.step`"
        )
