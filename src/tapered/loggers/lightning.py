"""Lightning's Trainer tells a log: its losses and metrics, and the rates of the updates that it tells a loss of.

on_train_start ─► optimizers ─► Heard      on_train_batch_end ─► lr/<group>, train/loss ─► the log, its own loggers
"""

from typing import Any

from tapered.loggers.heard import Heard
from tapered.scripts import lightning


class Telling(lightning.Telling):
    """What the callback does; `scripts.lightning.callback` makes one of it.

    Args:
        run: Whom it tells.
        own: Whether Lightning's own loggers are told the rates and the loss as well, by the module's `log_dict`.
    """

    def __init__(self, run: Any, own: bool) -> None:  # noqa: FBT001  # called below alone
        super().__init__(run)
        self.heard: Heard = run
        self._own = own

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """The optimizers are there, and what they go on from is loaded."""
        super().on_train_start(trainer, pl_module)
        self.heard.follow(trainer.optimizers)

    def tell(self, trainer: Any, pl_module: Any, loss: Any, last: int) -> None:
        """An update's rates and its loss; Lightning's loggers have their own steps, and say at which they show some."""
        rates = self.heard.take()
        if self.due(trainer, last):
            self.heard.tell(self.step, rates)
        super().tell(trainer, pl_module, loss, last)
        if self._own:
            pl_module.log_dict(rates | ({} if loss is None else {"train/loss": loss}), on_step=True, on_epoch=False)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's call
        """Let the optimizers go."""
        self.heard.leave()
