"""Numbers of a run, told to loggers as it trains: what one of them raises, or where it hangs, holds up nothing.

log_to("tensorboard:runs", optimizer=optimizer) ─► Log ─┬─ after every update: lr/<group>, the rate that it used
log(loss=..., valid_accuracy=...) ──────────────────────╯─► Guarded, each in its thread ─► TensorBoard, W&B, MLflow, ...
a trainer's callback ─► Heard ─► the same
"""

from tapered.loggers.log import Log as Log
from tapered.loggers.log import log_to as log_to

__all__ = ["Log", "log_to"]
