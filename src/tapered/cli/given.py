"""What `tapered study` and `tapered tune` both take: where runs are trained and kept, and how many."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cyclopts import Parameter

from tapered.cli.terminal import Flag, Words, retype


@Parameter(name="*")
@dataclass(frozen=True)
class Given:
    """Options of a study, each an option of the command.

    Args:
        seeds: Seeds of each arm and peak, or of each trial, instead of the file's.
        steps: Steps of each run, instead of the file's.
        store: Folder for the results; by default studies/NAME-HASH.
        ledger: URL of a database that shows the finished runs, as postgresql+psycopg://USER@HOST/DATABASE; its password
            in ~/.pgpass.
        plan: Run nothing; print the steps asked and to run, memory, time, how rows are trained, and why; of a search
            what its first batch takes.
        verify: Also train a sample of the runs again from scratch; exit code 1 if a number differs.
        workload: FILE:NAME of the workload, where the file names one outside of its own folder.
        workers: Processes that train at a time, at most: a number, "cores" or "gpus".
        ray: Train on a Ray cluster: its address, "auto" for this machine's, "local" for one of its own.
        log_to: A logger of the runs that have ended, as tensorboard:FOLDER, wandb:PROJECT, mlflow:NAME or
            trackio:PROJECT; may be given again.
    """

    seeds: int | None = None
    steps: int | None = None
    store: Path | None = None
    ledger: str | None = None
    plan: Flag = False
    verify: Flag = False
    workload: str | None = None
    workers: str | None = None
    ray: str | None = None
    log_to: Words = ()

    @property
    def executor(self) -> dict[str, Any]:
        """Where runs are trained, as a study file's `executor` says it.

        >>> Given(workers="4").executor, Given(workers="cores", ray="local").executor
        ({'workers': 4}, {'workers': 'cores', 'kind': 'ray', 'address': 'local'})
        """
        given = self.workers
        count = int(given) if given is not None and given.isascii() and given.isdecimal() else given
        said = {"workers": count, "kind": self.ray and "ray", "address": self.ray}
        return {name: value for name, value in said.items() if value is not None}

    def read(self, file: str, **more: Any) -> Any:
        """The study that a file states, with what was given instead.

        Args:
            file: A built-in study's name or a TOML file.
            more: What one of the commands alone takes.
        """
        from tapered.loggers.kinds import check  # noqa: PLC0415 - torch takes a second that --help need not wait
        from tapered.study import read  # noqa: PLC0415 - as above

        check(self.log_to)
        same: dict[str, Any] = {name: getattr(self, name) for name in ("seeds", "steps", "workload", "ledger")}
        return read(file, executor=self.executor, **same, **more)

    def command(self, verb: str, file: str, *flags: str, **more: Any) -> str:
        """What to type for this again.

        >>> Given(steps=3, ray="auto").command("study", "bmi", "--quick")
        'tapered study bmi --quick --steps=3 --ray=auto'
        """
        names = ("seeds", "steps", "store", "ledger", "workload", "workers", "ray")
        loggers = [f"--log-to={target}" for target in self.log_to]
        return retype(verb, file, *flags, *loggers, **more, **{name: getattr(self, name) for name in names})
