"""What a run's numbers depend on: as a command line gives it, and as a run's folder holds it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tapered import schedules
from tapered.checkpoint import CheckpointError, Resumed, files
from tapered.checkpoint.reading import find
from tapered.schedules import Schedule
from tapered.study.file.recipe import Steps
from tapered.study.file.resolve import trained_as
from tapered.study.file.typed import arm_of
from tapered.training.workload import Workload
from tapered.workloads import own
from tapered.workloads.find import coded, workload_of

KINDS = {
    "workload": str,
    "rule": str,
    "lr": str,
    "seed": int,
    "steps": int,
    "source": str,
    "options": dict,
    "code": dict,
    "data": dict,
    "average": dict,
    "steps_as": dict,
}
ASKED = ("workload", "rule", "lr", "seed", "options", "average")  # what a command says, beside where the run ends


@dataclass(frozen=True)
class Setting:
    """What a run's numbers depend on.

    Args:
        workload: A built-in workload's name, or "file.py:name".
        rule: The rule's name.
        lr: The rate's schedule as text, its numbers filled in.
        seed: What weights, minibatches and dropout follow.
        steps: Updates it is to make.
        source: Hash of the workload's own file; "built in" for tapered's.
        options: What the function that makes the workload is called with.
        code: Hashes of the other files of the workload's code.
        data: Digests of its splits.
        average: Fields of the average that is evaluated, its shares as updates; empty where there is none.
        steps_as: How a step is made, where that is not as the workload says: fields of a study file's `Steps`.
    """

    workload: str
    rule: str
    lr: str
    seed: int
    steps: int
    source: str
    options: Mapping[str, Any] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    data: Mapping[str, str] = field(default_factory=dict)
    average: Mapping[str, Any] = field(default_factory=dict, repr=False)
    steps_as: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def schedule(self) -> Schedule:
        """The rate."""
        return schedules.parse(self.lr)


def setting_of(
    workload: str,
    rule: str,
    lr: str,
    steps: int | None,
    seed: int,
    options: Mapping[str, Any] | None = None,
    average: Mapping[str, Any] | None = None,
    steps_as: Mapping[str, Any] | None = None,
) -> Setting:
    """A setting as a command line gives it; `steps` in the rate's text stands for the run's.

    Raises:
        StudyFileError: the workload, the rule or the rate is none.
        ValueError: steps or seed out of range.

    >>> setting_of("bmi", "Adam", "cosine_decay(1e-3, decay_steps=steps)", 500, 0).lr
    'cosine_decay(0.001, decay_steps=500)'
    """
    made, source, code = coded(workload, lambda: workload_of(workload, options or {}))
    arm = arm_of(rule, lr, {}, {}, average)
    made = trained_as(made, Steps.model_validate(steps_as or {}), [arm.build()], workload)
    steps = made.steps_per_epoch if steps is None else steps
    for name, value in (("steps", steps), ("seed", seed)):
        if isinstance(value, bool) or not isinstance(value, int):
            raise TypeError(f"got {name}={value!r}; expected a whole number; try --{name} 1000")
    if steps < 1:
        raise ValueError(f"got steps={steps}; expected how many updates the run makes, at least 1; try --steps 1000")
    if seed < 0:
        raise ValueError(f"got seed={seed}; expected a whole number of at least 0; try --seed 0")
    arm.path(steps, None)
    kept = {} if arm.averaged is None else arm.averaged.settled(steps).given
    own.remember(workload, options or {}, source)
    rate = str(arm.schedule(steps, None))
    given = dict(options or {}), code, data_of(made), kept, dict(steps_as or {})
    return Setting(workload, rule, rate, seed, steps, source, *given)


def data_of(workload: Workload) -> dict[str, str]:
    """Digests of what a run reads; its weights are in its checkpoints."""
    return {name: text for name, text in workload.fingerprints().items() if name != "weights"}


def refuse(changed: Sequence[str]) -> None:
    """Refuse to go on where some of what a run depends on is another.

    Raises:
        CheckpointError: with the names of it.
    """
    if changed:
        raise CheckpointError(
            f"{', '.join(changed)} changed since the run began, and its numbers with it; restore what was there, or "
            f"begin another run"
        )


def begun(folder: Path) -> bool:
    """Whether a folder holds a run; what a kill in its first save left is none."""
    return bool(files.listed(folder))


def setting_in(folder: Path) -> tuple[Setting, Resumed]:
    """The setting of the run in a folder, and where it stands.

    Raises:
        CheckpointError: there is none, or it is a script's.
    """
    found = find(folder, None).resumed()
    fields = found.values.get("setting")
    if isinstance(fields, dict):  # a run that was begun before there were such fields
        fields = {"average": {}, "steps_as": {}, **fields}
    if not isinstance(fields, dict) or fields.keys() != Setting.__dataclass_fields__.keys():
        known = set(fields) if isinstance(fields, dict) else set()
        if {"workload", "lr", "source"} <= known < Setting.__dataclass_fields__.keys():
            raise CheckpointError(
                f"{folder} holds a run of an earlier version, which did not write down all that its numbers depend on; "
                f"begin another run"
            )
        raise CheckpointError(
            f"{folder} holds the run of a script, which only the script can go on with: call tapered.checkpoint's "
            f"resume or fork there"
        )
    wrong = [name for name, kind in KINDS.items() if type(fields[name]) is not kind]
    if wrong:
        raise CheckpointError(
            f"{found.folder} has {wrong[0]}={fields[wrong[0]]!r:.80} in its setting, which tapered did not write; "
            f"begin another run"
        )
    return Setting(**fields), found


def check_same(folder: Path, setting: Setting) -> None:
    """The run in a folder is the one that was asked for; more steps may be.

    Raises:
        CheckpointError: with what differs.
    """
    known, _ = setting_in(folder)
    mine, theirs = ({**asdict(each), **each.steps_as} for each in (setting, known))
    names = [*ASKED, *dict.fromkeys([*known.steps_as, *setting.steps_as])]
    differing = [name for name in names if mine.get(name) != theirs.get(name)]
    if differing:
        said = "; ".join(f"{name} {theirs.get(name)!r} there, {mine.get(name)!r} now" for name in differing)
        raise CheckpointError(f"{folder} holds another run: {said}; try another --store, or tapered fork {folder}")
    file = [Path(setting.workload.rpartition(":")[0]).name] if setting.source != known.source else []
    data = [f"{name} data" for name in _differing(known.data, setting.data)]
    refuse([*file, *_differing(known.code, setting.code), *data])


def _differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    return sorted(name for name in {*one, *other} if one.get(name) != other.get(name))
