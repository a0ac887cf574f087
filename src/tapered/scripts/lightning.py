"""Lightning's Trainer in a run: losses and metrics are told, and it saves and stops as is asked.

a batch's loss, a validation's metrics ─► callback(run) ─► run.log, checkpoint-STEP.ckpt, trainer.should_stop
"""

import sys
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from tapered.scripts.current import ScriptRun


class Telling:
    """What a callback does; `callback` makes one of it."""

    def __init__(self, run: "ScriptRun") -> None:
        self.run, self._step = run, 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's call
        """Where it resumes, if nothing else counts."""
        self._step = trainer.global_step
        if len(trainer.optimizers) == 1:  # it counts the steps of them all
            self.run.likely = self._step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:  # noqa: ARG002
        """After each batch; of several that one update accumulates the last counts."""
        step, last = trainer.global_step, self._step
        if step == last:
            return
        self._step = step
        each = max(1, trainer.log_every_n_steps)
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if loss is not None and (step // each > last // each or step >= self.run.until):
            self.run.log(step, loss=loss)
        if self.run.should_save(step):
            trainer.save_checkpoint(self.run.out / f"checkpoint-{step}.ckpt")
        if self.run.should_stop(step):
            trainer.should_stop = True

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """What the script logged, as its callbacks see it."""
        found = {name: value for name, value in trainer.callback_metrics.items() if name != "step"}
        numbers = {name: value for name, value in found.items() if torch.is_tensor(value) and value.numel() == 1}
        if numbers and not trainer.sanity_checking:
            self.run.log(trainer.global_step, **numbers)


def callback(run: "ScriptRun") -> Any:
    """A callback for `Trainer(callbacks=[...])`, of the package that the script has imported."""
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:  # its older name, a package apart
        from pytorch_lightning.callbacks import Callback  # noqa: PLC0415  # no dependency
    else:
        from lightning.pytorch.callbacks import Callback  # noqa: PLC0415  # as above
    return type("RunCallback", (Telling, Callback), {})(run)
