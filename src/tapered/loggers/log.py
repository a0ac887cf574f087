"""`log_to`: what a run tells, and the rates that its updates used, to any loggers."""

import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch

from tapered.attach.layers import maker, takes_hooks
from tapered.loggers.guarded import PATIENCE, Guarded
from tapered.loggers.heard import Heard
from tapered.loggers.kinds import About, opener
from tapered.loggers.names import keyed
from tapered.loggers.rates import Rates
from tapered.scripts.counting import made
from tapered.scripts.current import completed
from tapered.scripts.ranks import rank


class Log:
    """A run's loggers: call it with numbers; the rates are told by themselves. Made by `log_to`.

    `log(loss=loss)` tells `train/loss`, `log(valid_accuracy=a)` tells `valid/accuracy`. A step is a number of completed
    updates; with an optimizer it need not be said.

    Example:
        >>> with log_to(print) as log:
        ...     log(3, loss=0.5, val_loss=0.25)
        3 {'train/loss': 0.5, 'valid/loss': 0.25}
    """

    def __init__(self, loggers: Sequence[Guarded]) -> None:
        self._loggers = tuple(loggers)
        self._rates: Rates | None = None
        self._finalizer = weakref.finalize(self, _close, self._loggers)  # also at the end of the process

    def __call__(self, step: Any = None, /, **values: Any) -> None:
        """Tell numbers as they are after so many updates.

        Args:
            step: Completed updates; by default those of the optimizer.
            values: Numbers by name, or tensors and arrays that hold one.

        Raises:
            TypeError, ValueError: no number, or no step.
        """
        if step is None:
            if self._rates is None:
                raise TypeError("got no step, and this log has no optimizer that counts; try log(step, loss=loss)")
            step = self._rates.step
        self.tell(completed(step), keyed(values))

    def tell(self, step: int, values: Mapping[str, float]) -> None:
        """Tell numbers under their full names; nothing that a logger does comes back from here."""
        for logger in self._loggers:
            logger.tell(step, values)

    def close(self) -> None:
        """Let the loggers end; what is told afterwards goes nowhere."""
        if self._rates is not None:
            self._rates.remove()
        self._finalizer()

    def trainer_callback(self, trainer: Any = None) -> Any:
        """A `TrainerCallback` for transformers' Trainer: what it logs is told here, and `lr/<group>` with each loss.

        Args:
            trainer: One that is made already, which is given the callback, ahead of its own loggers: they are told the
                rates of its groups, too. None leaves it to `Trainer(callbacks=[...])`.
        """
        from tapered.loggers.transformers import Telling  # noqa: PLC0415  # heavy, and not everybody's

        found = Telling(self.heard(), own=trainer is not None)
        if trainer is not None:
            trainer.callback_handler.callbacks.insert(0, found)
        return found

    def lightning_callback(self, *, own: bool = False) -> Any:
        """A `Callback` for Lightning's Trainer: losses, metrics and `lr/<group>` are told here.

        Args:
            own: Whether the Trainer's own loggers are told `lr/<group>` and `train/loss` as well; metrics they have.
        """
        from tapered.loggers.lightning import Telling  # noqa: PLC0415  # as above
        from tapered.scripts.lightning import made  # noqa: PLC0415  # as above

        return made(Telling, self.heard(), own)

    def heard(self) -> Any:
        """A run that asks nothing of its trainer, and tells what is logged here."""
        return Heard(self, rates=self._rates is None, warn=_warn)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def follow(self, optimizer: torch.optim.Optimizer, every: int) -> None:
        """Tell the rates of an optimizer's updates from now on."""
        self._rates = Rates(self.tell, optimizer, every)


def _close(loggers: Sequence[Guarded]) -> None:
    for logger in loggers:
        logger.close()


def log_to(
    *targets: Any,
    optimizer: torch.optim.Optimizer | None = None,
    every: int = 1,
    name: str | None = None,
    config: Mapping[str, Any] | None = None,
    step: int | None = None,
    patience: float = PATIENCE,
    lost: Callable[[str], None] | None = None,
) -> Log:
    """Tell a run's numbers to loggers: TensorBoard, W&B, MLflow, Trackio, or a function of one's own.

    Rates are told as `lr/<group>`, by a group's "name" or its place; at k + 1 updates that of update k, as it was used,
    whatever wrote it. A logger works in a thread of its own. One that raises, is not installed, or does not answer is
    dropped with one warning; training goes on. Of several processes rank 0 alone tells.

    Args:
        targets: "tensorboard:FOLDER", "wandb:PROJECT", "mlflow:EXPERIMENT" or "trackio:PROJECT", which open a run of
            their own; a `SummaryWriter`, or a run of the other three, that is open; a function `f(step, values)`. None
            is left out.
        optimizer: Whose updates are told of, and counted: tapered's, torch's, or anybody's with hooks.
        every: Tells the rates of every so many updates.
        name: The run's; a folder below TensorBoard's.
        config: What it is trained with, for those that show such things.
        step: Completed updates, where a run goes on; by default those of the optimizer.
        patience: Seconds that one call of a logger may take.
        lost: Called with a sentence where a logger is dropped, in the place of the warning.

    Raises:
        TypeError, ValueError: A target that is none, or an optimizer without hooks.

    Example:
        >>> import torch
        >>> from tapered import SGD, linear
        >>> weight, told = torch.nn.Parameter(torch.ones(2)), []
        >>> optimizer = SGD([weight], lr=linear(0.5, steps=4))
        >>> with log_to(lambda step, values: told.append((step, values)), optimizer=optimizer) as log:
        ...     for _ in range(2):
        ...         loss = optimizer.minimize(weight.square().sum())
        ...         log(loss=loss)
        >>> told
        [(1, {'lr/0': 0.5}), (1, {'train/loss': 2.0}), (2, {'lr/0': 0.375}), (2, {'train/loss': 0.0})]
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"got every={every!r}; expected a whole number of at least 1; try every=10")
    follows = None if optimizer is None else _followed(optimizer)
    begun = (made(follows) or 0) if step is None and follows is not None else completed(step or 0)
    about = About(name, config or {}, begun)
    found = [opener(target, about) for target in targets if target is not None]  # all of them, before any is opened
    log = Log([Guarded(*each, lost or _warn, patience) for each in found] if rank() == 0 else [])
    if follows is not None:
        log.follow(follows, every)
    return log


def _followed(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    takes_hooks(optimizer, "log_to")
    return maker(optimizer)


def _warn(said: str) -> None:
    warnings.warn(said, stacklevel=4)
