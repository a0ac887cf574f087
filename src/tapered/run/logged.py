"""What loggers are told of a run of tapered's own: at every save what was trained since the last one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from tapered.loggers import Log, log_to
from tapered.run.single import Single
from tapered.training.matched import factors


class Logged:
    """Tells a run's rates and losses at the steps whose losses are kept, and each evaluation.

    Args:
        log: Whom.
        run: As it begins or goes on.
    """

    def __init__(self, log: Log, run: Single) -> None:
        self.log, self._told = log, run.step
        self._factors = factors(run.workload)

    def __call__(self, run: Single, found: Mapping[str, float]) -> None:
        """Tell what was trained since the last call, and how it was evaluated; a loss is that before its update."""
        schedule = run.setting.schedule
        for step, loss in run.rows.losses[0]:
            if step >= self._told:
                rates = {f"lr/{name}": times * schedule(step) for name, times in self._factors.items()}
                self.log.tell(step + 1, {**rates, "train/loss": loss})
        self._told = run.step
        if found:
            self.log.tell(run.step, {f"valid/{name}": value for name, value in found.items()})


@contextmanager
def logged(run: Single, targets: Sequence[str], lost: Callable[[str], None]) -> Iterator[Logged | None]:
    """What tells the loggers of a run, within the block; None where there are none.

    Args:
        run: The run.
        targets: As of `log_to`.
        lost: Called with a sentence where one is dropped.
    """
    if not targets:
        yield None
        return
    named = ("workload", "rule", "lr", "seed", "steps")
    config = {name: getattr(run.setting, name) for name in named}
    with log_to(*targets, config=config, step=run.step, lost=lost) as log:
        yield Logged(log, run)
