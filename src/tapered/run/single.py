"""One run trained by tapered: begun, saved as it goes, resumed, forked at another rate.

    Setting ─► Single ─► train(to_step) ─► save        folder: checkpoints whose parts are `run` and `setting`

Everything random in it is a function of seed and step, so a checkpoint needs no generator's state.
"""

import shlex
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

import torch

from tapered import checkpoint, schedules
from tapered.checkpoint import CheckpointError, Resumed
from tapered.checkpoint.lock import claim
from tapered.files.tree import leaves
from tapered.rules import bare
from tapered.run.setting import Setting, data_of, refuse, setting_in
from tapered.study.file.recipe import Steps
from tapered.study.file.resolve import trained_as
from tapered.study.file.typed import arm_of, steps_of
from tapered.training.advance import advance, evaluated
from tapered.training.crew import crew
from tapered.training.rows import Rows, start
from tapered.training.steady import check
from tapered.workloads import own, sources
from tapered.workloads.find import coded, workload_of

KEEP = 3
NOTHING: Mapping[str, Any] = MappingProxyType({})
Kinds = Literal["same", "any"]
OnStep = Callable[[int], bool | None]
OnSave = Callable[["Single", Mapping[str, float]], object]


class RunError(Exception):
    """A run that cannot go on; the message says at which step and what is kept."""


class Single:
    """A run on its way; a part of its checkpoints.

    Args:
        setting: What is trained, and how.
        workload: Where its workload is, where that is not as the setting says.
        here: `workers` and `device`, which are this machine's and no part of a run.

    Raises:
        StudyFileError: they are none, or the device is not here.
        CheckpointError: the workload's file is not the one that the setting is of.
        UnsteadyError: its numbers depend on more than seed and step.
    """

    def __init__(self, setting: Setting, workload: str | None = None, here: Mapping[str, Any] = NOTHING) -> None:
        self.setting = setting
        place = workload or setting.workload
        refuse(sources.changed(Path(place.rpartition(":")[0]), setting.code))
        self.workload, _, code = coded(place, lambda: workload_of(place, setting.options, expected=setting.source))
        refuse(sorted(code.keys() ^ setting.code.keys()))
        self.arm = arm_of(setting.rule, setting.lr, {}, {}, setting.average)
        said = Steps.model_validate({**setting.steps_as, **steps_of(**here)})
        self.workload = trained_as(self.workload, said, [self.arm.build()], setting.workload)
        check(self.workload)
        now = data_of(self.workload)
        refuse([f"{name} data" for name in now if now[name] != setting.data.get(name)])
        self.kinds: tuple[str, ...] = ()  # of processor that trained it, as far as it is saved
        self.rows: Rows = start(self.workload, self.arm.build(), [setting.seed])

    @property
    def step(self) -> int:
        """Completed updates."""
        return self.rows.steps[0]

    @property
    def diverged(self) -> int | None:
        """The step whose loss was not finite."""
        return self.rows.diverged[0]

    def train(self, to_step: int, on_step: OnStep | None = None) -> None:
        """Train until so many updates are made, or `on_step` asks to stop."""
        path = self.arm.path(to_step, None)
        self.rows = advance(self.workload, self.rows, [path], to_step, on_step=on_step)

    def evaluate(self) -> dict[str, float]:
        """The loss and metrics on the validation split, and on those beside it."""
        return evaluated(self.workload, self.rows)[0]

    def reset_moments(self) -> None:
        """Fresh rule state; the schedule counts on, bias correction starts again, an average of the weights stays."""
        rows, rule = self.rows, bare(self.rows.rule)
        fresh = {name: {key: s[None] for key, s in rule.init(p[0]).items()} for name, p in rows.params.items()}
        state = {name: {**part, **fresh[name]} for name, part in rows.state.items()}
        self.rows = replace(rows, state=state, counts={name: torch.zeros(1) for name in rows.counts})

    def state_dict(self) -> dict[str, Any]:
        """The row as a tree."""
        rows = self.rows
        return {
            "step": self.step,
            "params": dict(rows.params),
            "buffers": dict(rows.buffers),
            "state": {name: dict(part) for name, part in rows.state.items()},
            "counts": dict(rows.counts),
            **({"scaler": dict(rows.scaler)} if rows.scaler else {}),
            "losses": [list(point) for point in rows.losses[0]],
            **({"extra": torch.frombuffer(bytearray(rows.extra[0]), dtype=torch.uint8)} if rows.extra[0] else {}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a tree that `state_dict` returned.

        Raises:
            CheckpointError: it is of another model or rule.
        """
        mine, theirs = ({path: _sort(leaf) for path, leaf in leaves(of)} for of in (self.state_dict(), state))
        both = {path for path in {*mine, *theirs} if path != "extra" and "losses" not in path}
        differing = sorted(path for path in both if mine.get(path) != theirs.get(path))
        if differing or type(state["step"]) is not int or state["step"] < 0:
            at = (differing or ["step"])[0]
            raise CheckpointError(
                f"the run's {at} is {theirs.get(at)} where its workload has {mine.get(at)}; begin another run"
            )
        tensors = {name: state[name] for name in ("params", "buffers", "state", "counts")}
        tensors["scaler"] = state.get("scaler", {})
        losses = tuple((int(step), float(loss)) for step, loss in state["losses"])
        extra = state["extra"].numpy().tobytes() if "extra" in state else b""
        self.rows = replace(
            self.rows, steps=(state["step"],), losses=(losses,), diverged=(None,), extra=(extra,), **tensors
        )


def _sort(leaf: Any) -> str:
    """What a leaf of a run's state is."""
    return f"{leaf.dtype} {tuple(leaf.shape)}" if isinstance(leaf, torch.Tensor) else type(leaf).__name__


def save(run: Single, folder: Path) -> dict[str, float]:
    """Save a run where it stands; its evaluation."""
    found = run.evaluate()
    checkpoint.save(
        folder, run.step, keep=KEEP, metric=found["loss"], generators=False, run=run, setting=asdict(run.setting)
    )
    run.kinds = claim(folder).kinds
    return found


def train(
    run: Single, folder: Path, save_every: int, on_step: OnStep | None = None, on_save: OnSave | None = None
) -> dict[str, float]:
    """Train a run to its end, or until `on_step` asks to stop, and save it on the way and there.

    Args:
        run: The run.
        folder: Its folder.
        save_every: Updates between two saves.
        on_step: Called with the updates made since its last call; True stops there.
        on_save: Called with the run and its evaluation after every save; without one where it diverged.

    Raises:
        RunError: it diverged; its last checkpoint is kept.
    """
    with crew(run.workload):
        found = _train(run, folder, save_every, on_step, on_save or (lambda *_: None))
    return found or run.evaluate()


def _train(run: Single, folder: Path, save_every: int, on_step: OnStep | None, on_save: OnSave) -> dict[str, float]:
    found, at = {}, run.step - 1
    while at < run.step < run.setting.steps:
        at = run.step
        run.train(min(run.setting.steps, at - at % save_every + save_every), on_step)
        if run.diverged is not None:
            on_save(run, {})
            raise RunError(
                f"diverged: the loss at step {run.diverged} was not finite; {folder} holds what was saved before; "
                f"a lower rate may hold: tapered fork {folder} --lr ..."
            )
        found = save(run, folder)
        on_save(run, found)
        if run.step % save_every and run.step < run.setting.steps:
            break
    return found


def resume(
    folder: Path,
    steps: int | None = None,
    *,
    workload: str | None = None,
    command: str | None = None,
    kinds: Kinds = "same",
    here: Mapping[str, Any] = NOTHING,
) -> tuple[Single, Resumed]:
    """Go on with the run in a folder, as far as its setting says or to `steps`; under "any" kind of processor, if said.

    Args:
        folder: The run's.
        steps: Where it is to end.
        workload: What the user says that its workload is; None where it is what the user ran here before.
        command: What the user typed, for refusals.
        kinds: "any" goes on under another kind of processor.
        here: As of `Single`.

    Raises:
        CheckpointError: as `checkpoint.resume`, or its workload is nothing that the user has named.
        ValueError: it is past `steps` already.
    """
    setting, found = setting_in(folder)
    typed = command or f"tapered resume {shlex.quote(str(folder))}"
    run = Single(setting, _allowed(setting, workload, typed), here)
    found = checkpoint.resume(folder, run=run, generators=False, kinds=kinds)
    run.kinds = found.kinds
    run.setting = replace(setting, steps=later(run, steps))
    run.arm.path(max(run.setting.steps, 1), None)  # which a longer run may leave
    return run, found


def fork(
    folder: Path,
    into: Path,
    lr: str,
    *,
    steps: int | None = None,
    keep_moments: bool = True,
    counted: Literal["now", "start"] | None = None,
    workload: str | None = None,
    command: str | None = None,
) -> Single:
    """Begin a child of the run in a folder at another rate, and save its first checkpoint with its lineage.

    Raises:
        CheckpointError: `into` holds a run, or the workload is nothing that the user has named (see `resume`).
        ValueError: a schedule without `counted`, or nothing left to train.
    """
    setting, _ = setting_in(folder)
    typed = command or f"tapered fork {shlex.quote(str(folder))} --lr {shlex.quote(lr)}"
    place = _allowed(setting, workload, typed)
    parent = Single(setting, place)
    found = checkpoint.resume(folder, partial=True, run=parent)
    last = later(parent, steps)
    if last == parent.step:
        raise ValueError(f"{folder} is at its last step, {last}; say where the fork ends: --steps {2 * last}")
    rate = arm_of(setting.rule, lr, {}, {}).schedule(last, None)
    change = checkpoint.Change({"lr": rate}, keep_moments, counted, parent.step)
    placed = str(checkpoint.placed(rate, change))
    child = Single(replace(setting, lr=placed, steps=last), place)
    child.rows = parent.rows
    if not keep_moments:
        child.reset_moments()
    child.arm.path(last, None)
    checkpoint.begin(folder, into, found, change)
    save(child, into)
    return child


def _allowed(setting: Setting, given: str | None, command: str) -> str:
    return own.allowed(setting.workload, setting.options, setting.source, given=given, command=command)


def later(run: Single, steps: int | None) -> int:
    """The step at which a run ends."""
    if steps is not None and steps < run.step:
        raise ValueError(f"got steps={steps}; the run is at step {run.step} already; try --steps {2 * run.step}")
    return max(run.setting.steps, run.step) if steps is None else steps


def rates_of(found: checkpoint.Described) -> tuple[list[float], dict[str, str]]:
    """The rates that a checkpoint's next update will use, and its schedules as text."""
    setting = dict(found.values).get("setting")
    if isinstance(setting, dict) and "lr" in setting:
        return [schedules.parse(setting["lr"])(found.step)], {"lr": setting["lr"]}
    return list(found.rates), dict(found.schedules)
