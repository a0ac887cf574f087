"""The run that this process is one of, for its script: what it is asked, and where it tells.

TAPERED_RUN ─► current_run() ─► ScriptRun ─► run.lr, run.optimizers(optimizer)
                                run.log(step, loss=...) ─► reports.jsonl
"""

import json
import operator
import os
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tapered.files.whole import replace
from tapered.scripts.asked import Asked
from tapered.scripts.lines import Lines
from tapered.scripts.ranks import rank, world

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

    import torch
    from torch.optim.lr_scheduler import LRScheduler

    from tapered.schedules import Schedule

VARIABLE = "TAPERED_RUN"
REPORTS, STOP, STOPPING = "reports.jsonl", "stop", "stopping"


class ScriptRun:
    """One run of a study, as its script sees it; made by `current_run`.

    `seed`, `steps`, `until`, `peak`, `arm` and `save_at` are what is asked, `out` is a folder of the run's own, `lr`
    its schedule. Every step is a number of completed updates: 0 before the first.

    Args:
        folder: the run's.

    Raises:
        ScriptError: it is none, or it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()  # a script may change its directory
        self.asked: Asked
        self.rates: array[float]
        self.asked, self.rates = Asked.read_light(self.folder)
        self.arm, self.seed, self.peak = self.asked.arm, self.asked.seed, self.asked.peak
        self.steps, self.until, self.save_at = self.asked.steps, self.asked.until, self.asked.save_at
        self.told: int | None = None  # by `started`; the witness takes it
        self.likely: int | None = None  # by a callback, where nothing else counts
        self._reports = Lines(self.folder / REPORTS)
        self._also: list[Callable[..., object]] = []
        self._last: int | None = None  # the step after which several processes stop

    @property
    def out(self) -> Path:
        """The folder for what the script keeps; it is made."""
        path = self.folder / "out"
        path.mkdir(exist_ok=True)
        return path

    @property
    def lr(self) -> "Schedule":
        """The rate that is asked, as a schedule: `torch.optim` takes it by `optimizers`, tapered's own as `lr=run.lr`.

        Its text is the same for all runs of a study, so that a run goes on from another's checkpoint at its own rate.
        """
        from tapered.scripts.following import table  # noqa: PLC0415  # a script may set what torch reads first

        return table(self.rates)

    def optimizers(self, optimizer: "torch.optim.Optimizer") -> "tuple[torch.optim.Optimizer, LRScheduler]":
        """Let an optimizer follow the rate that is asked; a plain loop needs nothing more.

        Groups that were made with rates of their own keep their ratio to the first one's.

        Args:
            optimizer: torch's, or one of tapered's that was made with `lr=run.lr`.

        Returns:
            The optimizer, and a scheduler for trainers that insist on one; its `step()` changes nothing.

        Raises:
            ValueError: another scheduler steers it, or another schedule.
        """
        from tapered.scripts.following import followed  # noqa: PLC0415  # as above

        return optimizer, followed(optimizer, self.lr)

    def log(self, step: Any, /, **values: Any) -> None:
        """Tell numbers as they are after `step` updates: a line of `reports.jsonl`; of several processes rank 0 tells.

        NaN is told, too: a run that diverged is a result. What is told again, after a resume, counts instead.

        Args:
            step: completed updates.
            values: numbers by name, or tensors and arrays that hold one.

        Raises:
            TypeError, ValueError: no number, or no step.
            OSError: the disk does not take it.
        """
        if not values or "step" in values:
            got = ", ".join(values) or "nothing"
            raise TypeError(f"got {got} to log; expected numbers by name beside the step; try run.log(step, loss=loss)")
        told = {"step": completed(step), **{name: number(name, value) for name, value in values.items()}}
        if rank() == 0:
            self._reports.add(json.dumps(told))
            for log in self._also:
                log(step, **values)

    def also(self, log: "Callable[..., object]") -> None:
        """From now on tell `log(step, **values)` what this run logs, as `tapered.loggers.log_to` returns one."""
        self._also.append(log)

    def started(self, step: Any) -> None:
        """Say how many updates were completed before the next one.

        A script that resumes says so, where its optimizer's state neither counts nor is saved; also one that begins
        with the state of an optimizer that was used before: `run.started(0)`.
        """
        self.told = completed(step)

    def should_save(self, step: Any) -> bool:
        """Whether a checkpoint after `step` updates is wanted: asked for, or the last one before the end."""
        return completed(step) in self.save_at or self.should_stop(step)

    def should_stop(self, step: Any) -> bool:
        """Whether to end after `step` updates: all that were asked are made, or the run is to end early.

        Ask in every process, at the same steps: all then end at the same one.
        """
        step = completed(step)
        if step >= self.until:
            return True
        try:
            asked = (self.folder / STOP).stat().st_mtime_ns
        except OSError:
            return False
        return world() == 1 or self._agreed(step, asked)

    def _agreed(self, step: int, asked: int) -> bool:
        """Rank 0 names a step that none has passed: each waits for the others once in every update."""
        path = self.folder / STOPPING
        if self._last is None and rank() == 0:
            self._last = step + 2
            replace(path, json.dumps({"asked": asked, "last": self._last}).encode())
        elif self._last is None and path.exists():
            said = json.loads(path.read_bytes())
            self._last = said["last"] if said["asked"] == asked else None  # an earlier start's
        return self._last is not None and step >= self._last

    def trainer_callback(self) -> Any:
        """A `TrainerCallback` for transformers' Trainer: it logs, saves and stops as is asked."""
        from tapered.scripts.trainer import callback  # noqa: PLC0415  # heavy, and not everybody's

        return callback(self)

    def lightning_callback(self) -> Any:
        """A `Callback` for Lightning's Trainer: it logs, saves and stops as is asked."""
        from tapered.scripts.lightning import callback  # noqa: PLC0415  # as above

        return callback(self)


def current_run() -> ScriptRun | None:
    """The run that this process is one of; None outside a study, where a script runs as ever.

    Raises:
        ScriptError: `TAPERED_RUN` names no run's folder.

    Example:
        >>> run = current_run()
        >>> seed = run.seed if run else 0
    """
    folder = os.environ.get(VARIABLE)
    if not folder:
        return None
    run = run_in(Path(folder).resolve())
    if run.asked.rate != "off":
        from tapered.scripts.witness import install  # noqa: PLC0415  # which needs this file

        install(run, run.asked.rate)
    return run


@lru_cache(maxsize=1)
def run_in(folder: Path) -> ScriptRun:
    """The one of this process, for its script and for the witness."""
    return ScriptRun(folder)


def completed(step: Any) -> int:
    """A step as an int; tensors and numpy's numbers are taken.

    Raises:
        TypeError, ValueError: no whole number from 0 up.
    """
    try:
        found = operator.index(step)
    except TypeError:
        found = None
    if found is None or isinstance(step, bool):
        raise TypeError(f"got {step!r:.80} for the step; expected a whole number of completed updates")
    if found < 0:
        raise ValueError(f"got {step!r:.80} for the step; expected 0 or more completed updates")
    return found


def number(name: str, value: Any) -> float:
    """What is logged, as a float.

    Raises:
        TypeError: it is none.
    """
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError  # noqa: TRY301  # float() would read it
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        raise TypeError(
            f"got {value!r:.80} for `{name}`; expected a number, or a tensor that holds one; try {name}=value.mean()"
        ) from None
