"""`tapered run`: train one run of a workload, saved as it goes."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from rich.text import Text

from tapered.cli.progress import progress
from tapered.cli.stepped import Stepped
from tapered.cli.terminal import DONE, INTERRUPTED, Flag, Interrupt, Json, Words, console, print_json, retype, table
from tapered.words import plain

EXAMPLES = {
    "option": "batch_size=64",
    "hyper": "weight_decay=0.1",
    "choice": "amsgrad=true",
    "average": "ema,decay=0.999",
}
AS_IT_IS = Stepped()
SAVES = 10  # a run, where --save-every is not given


def run(
    workload: str,
    /,
    *,
    lr: str,
    rule: str = "Adam",
    steps: int | None = None,
    seed: int = 0,
    average: str | None = None,
    option: Words = (),
    stepped: Stepped = AS_IT_IS,
    device: str | None = None,
    workers: int | None = None,
    store: Path | None = None,
    save_every: int | None = None,
    kinds: Literal["same", "any"] = "same",
    log_to: Words = (),
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Train one run of a workload, saved as it goes; the same command goes on with it.

    Args:
        workload: A built-in workload's name (bmi), or file.py:name of your own.
        lr: The rate: a number, or a schedule in which `steps` stands for the run's steps.
        rule: The rule's name.
        steps: Updates to make; by default one epoch.
        seed: What weights, minibatches and dropout follow.
        average: The average of the weights that is evaluated: ema, swa or lawa, then its fields, as ema,decay=0.999.
        option: An argument of the workload, as name=value; may be given again.
        stepped: How a step is made.
        device: cpu, cuda, cuda:1, mps, or auto.
        workers: Processes that fetch its items ahead; the numbers do not depend on them.
        store: Folder for its checkpoints; by default runs/WORKLOAD-RULE-HASH.
        save_every: Updates between two checkpoints; by default a tenth of the run.
        kinds: "any" goes on under another kind of processor or version of torch, where the last bits may differ.
        log_to: A logger, as tensorboard:FOLDER, wandb:PROJECT, mlflow:NAME or trackio:PROJECT; may be given again.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.loggers.kinds import check  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.run import setting as settings  # noqa: PLC0415 - as above
    from tapered.run import single  # noqa: PLC0415 - as above
    from tapered.training.threads import threads  # noqa: PLC0415 - as above

    check(log_to)
    check_saves(save_every)
    with threads(1):
        here = {"workers": workers, "device": device}
        given = options_of(option), average_of(average), stepped.fields
        setting = settings.setting_of(workload, rule, lr, steps, seed, *given)
        folder = store or default_folder(setting)
        if settings.begun(folder):
            settings.check_same(folder, setting)
            with said(console(stderr=True)):
                trained = single.resume(folder, setting.steps, workload=workload, kinds=kinds, here=here)[0]
        else:
            trained = single.Single(setting, here=here)
            single.save(trained, folder)
        return train(trained, folder, save_every, log_to, as_json=as_json)


def check_saves(every: int | None) -> None:
    """Refuse what is no number of updates between two checkpoints, before there is a folder."""
    if every is not None and every < 1:
        raise ValueError(f"got --save-every={every}; expected updates between two checkpoints, at least 1")


def train(trained: Any, folder: Path, save_every: int | None, log_to: tuple[str, ...], *, as_json: bool) -> int:
    """Train a run to its end with a bar; say where it stands, or how to go on."""
    from tapered.run import single  # noqa: PLC0415 - as above
    from tapered.run.logged import logged  # noqa: PLC0415 - as above

    steps = trained.setting.steps
    every = max(1, steps // SAVES) if save_every is None else save_every
    errors = console(stderr=True)

    def lost(said: str) -> None:
        errors.print(said, soft_wrap=True)

    with logged(trained, log_to, lost) as told, Interrupt(errors) as interrupt, progress(errors) as bar:
        task = bar.add_task("training", total=steps, completed=trained.step)

        def on_step(updates: int) -> bool:
            bar.advance(task, updates)
            return interrupt.asked

        found = single.train(trained, folder, every, on_step, told)
    if trained.step < steps:
        errors.print(f"Stopped at step {trained.step} of {steps}, saved in {folder}.", soft_wrap=True)
        again = [f"--log-to={target}" for target in log_to]
        errors.print(f"To go on: {retype('resume', str(folder), *again, steps=steps)}", soft_wrap=True)
        return INTERRUPTED
    show(trained, folder, found, as_json=as_json)
    return DONE


@contextmanager
def said(errors: Console) -> Iterator[None]:
    """Warnings as sentences."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.filterwarnings("ignore", "IProgress not found")  # tqdm's, of a bar that nobody asked for
        yield
    for warning in caught:
        for line in str(warning.message).splitlines():
            errors.print(line, soft_wrap=True)


def show(trained: Any, folder: Path, found: dict[str, float], *, as_json: bool) -> None:
    """Where a run stands."""
    from tapered.training.matched import matched  # noqa: PLC0415 - as above

    setting = trained.setting
    rate = setting.schedule(max(trained.step - 1, 0))
    average = {"average": dict(setting.average)} if setting.average else {}
    groups = matched(trained.workload)
    if as_json:
        valid = {name: value if isfinite(value) else None for name, value in found.items()}
        fields = {"folder": str(folder), "step": trained.step, "lr": rate, "schedule": setting.lr, "valid": valid}
        grouped = {"groups": [asdict(group) for group in groups]} if groups else {}
        print_json(fields | average | grouped | {"kinds": list(trained.kinds)})
        return
    out = console(stderr=False)
    rows = [("step", f"{trained.step:,}"), ("rate", plain(rate, 6)), ("schedule", setting.lr)]
    rows += [("average", str(trained.arm.average))] if average else []
    rows += [(f"valid {name}", plain(value, 6)) for name, value in found.items()]
    out.print(table(rows, header=False))
    for group in groups:
        out.print(Text(f"- {group}"))
    if len(trained.kinds) > 1:
        said = f"{len(trained.kinds)} kinds of processor trained it, so that its last bits would not repeat."
        out.print(Text(said), soft_wrap=True)
    out.print(Text(f"Saved: {folder}"), soft_wrap=True)


def default_folder(setting: Any) -> Path:
    """A folder's name of what the run is."""
    import hashlib  # noqa: PLC0415 - only here
    import re  # noqa: PLC0415 - only here

    name = re.sub(r"[^A-Za-z0-9]+", "-", setting.workload.rpartition(":")[2] or setting.workload)[:40]
    later = {name: value for name, value in (("average", setting.average), ("steps_as", setting.steps_as)) if value}
    what = repr(setting) + (repr(later) if later else "")  # runs from before there were such fields keep their folders
    return Path("runs") / f"{name}-{setting.rule}-{hashlib.sha256(what.encode()).hexdigest()[:8]}"


def average_of(given: str | None) -> dict[str, Any] | None:
    """An average as a command gives it, its kind first.

    >>> average_of("ema,decay=0.999,ramp=(1+t)/(10+t)")
    {'kind': 'ema', 'decay': 0.999, 'ramp': '(1+t)/(10+t)'}
    """
    if given is None:
        return None
    kind, *words = (word.strip() for word in given.split(","))
    return {"kind": kind, **options_of(tuple(words), "average")}


def options_of(given: tuple[str, ...], of: str = "option") -> dict[str, Any]:
    """name=value words as arguments; a value is read as Python writes it, else it is text."""
    import ast  # noqa: PLC0415 - only here

    found: dict[str, Any] = {}
    for word in given:
        name, sign, value = word.partition("=")
        if not sign or not name.isidentifier():
            raise ValueError(f"got --{of} {word!r}; expected name=value; try --{of} {EXAMPLES[of]}")
        try:
            found[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            found[name] = value
    return found
