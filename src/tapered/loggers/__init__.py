"""Numbers of a run, told to loggers as it trains: what one of them raises, or where it hangs, holds up nothing.

log_to("tensorboard:runs", optimizer=optimizer) ─► Log ─┬─ after every update: lr/<group>, the rate that it used
log(loss=..., valid_accuracy=...) ──────────────────────╯─► Guarded, each in its thread ─► TensorBoard, W&B, MLflow, ...
a trainer's callback ─► Heard ─► the same
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapered.loggers.log import Log as Log
    from tapered.loggers.log import log_to as log_to

__all__ = ["Log", "log_to"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # of one's own training alone: a study's loggers need not wait for what follows an optimizer
        return getattr(importlib.import_module("tapered.loggers.log"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
