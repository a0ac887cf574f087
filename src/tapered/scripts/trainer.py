"""transformers' Trainer in a run: what it logs is told, and it saves and stops as is asked.

Trainer's log, its step ─► callback(run) ─► run.log, control.should_save, control.should_training_stop
"""

from typing import TYPE_CHECKING, Any

from transformers import TrainerCallback

from tapered.scripts.formats import CLOCKS

if TYPE_CHECKING:
    from tapered.scripts.current import ScriptRun


class Telling(TrainerCallback):
    """See `callback`."""

    def __init__(self, run: "ScriptRun") -> None:
        self.run = run

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002  # Trainer's call
        """Where it resumes, if nothing else counts."""
        self.run.likely = int(state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **_: Any) -> None:  # noqa: ARG002
        """Losses and metrics of evaluations alike come through here."""
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        told = {name: value for name, value in numbers.items() if not name.endswith(CLOCKS) and name != "step"}
        if told:
            self.run.log(state.global_step, **told)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:  # noqa: ARG002
        """After each update."""
        if self.run.should_save(state.global_step):
            control.should_save = True
        if self.run.should_stop(state.global_step):
            control.should_training_stop = True
        return control


def callback(run: "ScriptRun") -> Telling:
    """A callback for `Trainer(callbacks=[...])`."""
    return Telling(run)
