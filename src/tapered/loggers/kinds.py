"""The loggers there are, each opened by its own library and used by its public names.

"wandb:PROJECT" ─► opener ─► Opened: what takes numbers at a step, and what ends it
"""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tapered.words import suggest

Values = Mapping[str, float]
Tell = Callable[[int, Values], object]
FLUSHED = 10  # seconds that TensorBoard's numbers wait for each other, at most
EXAMPLES = {
    "tensorboard": "tensorboard:runs/one",
    "wandb": "wandb:my-project",
    "mlflow": "mlflow:my-experiment",
    "trackio": "trackio:my-project",
}


@dataclass(frozen=True)
class About:
    """What a logger is told of a run at its beginning.

    Args:
        name: The run's; None leaves it to the logger.
        config: What it was trained with.
        step: Updates that it has made already: what was told of later ones, before it was cut off, is told again.
        anew: Whether all is told again, as where a process was killed while it told.
    """

    name: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    step: int = 0
    anew: bool = False


@dataclass(frozen=True)
class Opened:
    """A logger that takes numbers.

    Args:
        tell: Takes a step and numbers by name.
        close: Ends it; nothing is told after that.
    """

    tell: Tell
    close: Callable[[], object]


def opener(target: Any, about: About) -> tuple[str, Callable[[], Opened]]:
    """What a target is called, and what opens it.

    Args:
        target: "KIND:PLACE", a logger that is open already, or a function of a step and numbers by name.
        about: The run.

    Raises:
        TypeError, ValueError: it is none.
    """
    if not isinstance(target, str):
        return _live(target)
    kind, _, place = target.partition(":")
    if kind not in KINDS:
        raise ValueError(f"got {target!r:.80} to log to; {suggest(kind, EXAMPLES.values())}")
    if not place:
        raise ValueError(f'got {target!r} to log to; expected where, after "{kind}:"; try "{EXAMPLES[kind]}"')

    def opened() -> Opened:
        installed(target)
        return KINDS[kind](place, about)

    return target, opened


def installed(target: str) -> None:
    """Refuse a target whose library is not there.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    kind = target.partition(":")[0]
    if find_spec(kind) is None:
        raise ModuleNotFoundError(f"{kind} is not installed; try: pip install {kind}")


def check(targets: Iterable[Any], *, many: bool = False) -> None:
    """Refuse what is no target, before anything is opened or trained.

    Args:
        targets: As of `log_to`.
        many: Whether many runs are to be told, for which a run that somebody opened is too few.

    Raises:
        TypeError, ValueError: one is none.
    """
    for target in targets:
        opener(target, About())
        if many and not (isinstance(target, str) or hasattr(target, "add_scalar") or callable(target)):
            raise TypeError(
                f"got a {type(target).__name__} that is open to log a study to, each of whose runs is one there; try "
                f'a text like "{EXAMPLES[type(target).__module__.partition(".")[0]]}"'
            )


def _tensorboard(place: str, about: About) -> Opened:
    from torch.utils.tensorboard import SummaryWriter  # noqa: PLC0415  # heavy, and not everybody's

    folder = Path(place) / about.name if about.name else Path(place)
    purge = 0 if about.anew else about.step + 1 if about.step else None
    writer = SummaryWriter(str(folder), purge_step=purge, flush_secs=FLUSHED)
    for name, value in about.config.items():
        writer.add_text(name, str(value), about.step)
    return Opened(_scalars(writer), writer.close)


def _scalars(writer: Any) -> Tell:
    def tell(step: int, values: Values) -> None:
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return tell


def _wandb(place: str, about: About) -> Opened:
    import wandb  # noqa: PLC0415  # as above

    run = wandb.init(project=place, name=about.name, config=dict(about.config), reinit="create_new")
    return Opened(_steps(run), run.finish)


def _trackio(place: str, about: About) -> Opened:
    import trackio  # noqa: PLC0415  # as above

    run = trackio.init(project=place, name=about.name, config=dict(about.config))
    return Opened(_steps(run), run.finish)


def _steps(run: Any) -> Tell:
    return lambda step, values: run.log(dict(values), step=step)


def _mlflow(place: str, about: About) -> Opened:
    from mlflow import MlflowClient  # noqa: PLC0415  # as above

    client = MlflowClient()
    known = client.get_experiment_by_name(place)
    experiment = client.create_experiment(place) if known is None else known.experiment_id
    run = client.create_run(experiment, run_name=about.name).info.run_id
    for name, value in about.config.items():
        client.log_param(run, name, value)
    return Opened(_metrics(client, run), lambda: client.set_terminated(run))


def _metrics(client: Any, run: str) -> Tell:
    from mlflow.entities import Metric  # noqa: PLC0415  # as above

    def tell(step: int, values: Values) -> None:
        now = int(1000 * time.time())
        client.log_batch(run, [Metric(name, value, now, step) for name, value in values.items()])

    return tell


KINDS: Mapping[str, Callable[[str, About], Opened]] = {
    "tensorboard": _tensorboard,
    "wandb": _wandb,
    "mlflow": _mlflow,
    "trackio": _trackio,
}


def _live(target: Any) -> tuple[str, Callable[[], Opened]]:
    """A logger that somebody opened, who closes it as well."""
    kind, library = type(target).__name__, type(target).__module__.partition(".")[0]
    if hasattr(target, "add_scalar"):
        return kind, lambda: Opened(_scalars(target), target.flush)
    if library in ("wandb", "trackio"):
        return f"{library}.{kind}", lambda: Opened(_steps(target), lambda: None)
    if library == "mlflow" and hasattr(target, "info"):
        return f"mlflow.{kind}", lambda: _joined(target.info.run_id)
    if callable(target):
        return getattr(target, "__qualname__", kind), lambda: Opened(target, lambda: None)
    raise TypeError(
        f"got a {kind} to log to; expected a text like {', '.join(EXAMPLES.values())}, a writer or a run of theirs, or "
        f"a function of a step and numbers by name"
    )


def _joined(run: str) -> Opened:
    from mlflow import MlflowClient  # noqa: PLC0415  # as above

    return Opened(_metrics(MlflowClient(), run), lambda: None)
