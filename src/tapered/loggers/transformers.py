"""transformers' Trainer tells a log: what it logs, and the rates of the newest update then.

on_train_begin ─► optimizer ─► Heard      on_log ─► lr/<group> ─► the log, the Trainer's own loggers
"""

from typing import Any

from tapered.loggers.heard import Heard
from tapered.scripts.trainer import Telling as Base


class Telling(Base):
    """A `TrainerCallback`.

    Args:
        run: Whom it tells.
        own: Whether what the Trainer logs gets the rates as well, for the loggers whose callbacks come after this one.
    """

    def __init__(self, run: Any, own: bool) -> None:  # noqa: FBT001  # called by `Log` alone
        super().__init__(run)
        self.heard: Heard = run
        self._own = own

    def on_train_begin(self, args: Any, state: Any, control: Any, optimizer: Any = None, **more: Any) -> None:
        """The optimizer is there, and what it goes on from is loaded."""
        super().on_train_begin(args, state, control, **more)
        self.heard.follow([] if optimizer is None else [optimizer])

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> None:
        """A loss, a mean over the updates since the last one, comes with the rates of the newest of them."""
        if logs and "loss" in logs:
            rates = self.heard.take()
            self.heard.tell(state.global_step, rates)
            if self._own:
                logs.update(rates)
        super().on_log(args, state, control, logs, **more)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  # Trainer's call
        """Let the optimizer go."""
        self.heard.leave()
