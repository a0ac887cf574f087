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
        self.run, self.step = run, 0

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002  # Lightning's call
        """Where it resumes, if nothing else counts."""
        self.step = trainer.global_step
        if len(trainer.optimizers) == 1:  # it counts the steps of them all
            self.run.likely = self.step

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        """After each batch; of several that one update accumulates the last counts."""
        step, last = trainer.global_step, self.step
        if step == last:
            return
        self.step = step
        self.tell(trainer, pl_module, outputs.get("loss") if isinstance(outputs, dict) else outputs, last)
        if self.run.should_save(step):
            trainer.save_checkpoint(self.run.out / f"checkpoint-{step}.ckpt")
        if self.run.should_stop(step):
            trainer.should_stop = True

    def tell(self, trainer: Any, pl_module: Any, loss: Any, last: int) -> None:  # noqa: ARG002  # for others
        """The loss of the last batch of an update, where Lightning shows one."""
        if loss is not None and self.due(trainer, last):
            self.run.log(self.step, loss=loss)

    def due(self, trainer: Any, last: int) -> bool:
        """Whether Lightning shows a step since the last update, or the run ends."""
        each = max(1, trainer.log_every_n_steps)
        return self.step // each > last // each or self.step >= self.run.until

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002
        """What the script logged, as its callbacks see it."""
        found = {name: value for name, value in trainer.callback_metrics.items() if name != "step"}
        numbers = {name: value for name, value in found.items() if torch.is_tensor(value) and value.numel() == 1}
        if numbers and not trainer.sanity_checking:
            self.run.log(trainer.global_step, **numbers)


def callback(run: "ScriptRun") -> Any:
    """A callback for `Trainer(callbacks=[...])`, of the package that the script has imported."""
    return made(Telling, run)


def made(telling: type[Telling], *given: Any) -> Any:
    """A callback that does as that says, of the package that is imported."""
    if "pytorch_lightning" in sys.modules and "lightning.pytorch" not in sys.modules:  # its older name, a package apart
        from pytorch_lightning.callbacks import Callback  # noqa: PLC0415  # no dependency
    else:
        from lightning.pytorch.callbacks import Callback  # noqa: PLC0415  # as above
    return type("RunCallback", (telling, Callback), {})(*given)
