"""What is said beside a converted torch scheduler: what it moves besides, what a step of it is, where it is wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from tapered.convert import transformers_forms
from tapered.convert.back import Factor
from tapered.convert.torch_tree import COMPOSITES, Node
from tapered.schedules import Schedule

ONE_STEP = "is at another rate for a step"
# What torch does where the optimizer is loaded, the scheduler then built, and its state then loaded.
RESUMED = {
    "LinearLR": "multiplies by start_factor once more and stays so",
    "ConstantLR": "multiplies by factor once more and stays so",
    "LambdaLR": ONE_STEP,
    "CosineAnnealingWarmRestarts": ONE_STEP,
    "OneCycleLR": ONE_STEP,
    "CyclicLR": ONE_STEP,
    "SequentialLR": "goes on from its first rate and stays wrong",
    "ChainedScheduler": "multiplies by first factors once more and stays so",
}
CODED = ("LambdaLR", "MultiplicativeLR")
CYCLES = ("OneCycleLR", "CyclicLR")  # those that write over base rates, and that are stepped once an update


def before(node: Node) -> list[str]:
    """What a class moves beside the rate."""
    return [
        f"torch's {leaf.name} moves momentum or betas[0] too; kept: the rate only"
        for leaf in node.leaves
        if leaf.arguments.get("cycle_momentum")
    ]


def after(node: Node, source: Any, found: Sequence[Schedule], *, own: bool) -> list[str]:
    """What its neighbours, its state and its use make of it; `own` where the base rates are the source's."""
    notes = _functions(node) + _rewritten(node, text=isinstance(source, str)) + _resume_notes(node)
    if isinstance(source, Mapping):
        notes += _unsaid(node)
    if not isinstance(source, str) and own:
        notes += _in_force(source, found) + _late(source, len(found))
    return notes + _passed_over(source) + _epochs(node)


def _functions(node: Node) -> list[str]:
    """Functions of the user's own."""
    return [
        f"torch's {leaf.name} holds a function of your own; kept: that, as a function, which cannot be written as text"
        for leaf in node.leaves
        if leaf.arguments.get("scale_fn") is not None or (leaf.name in CODED and not _an_update_s(leaf))
    ]


def _unsaid(node: Node) -> list[str]:
    return [
        f"a CyclicLR's state dict does not hold a scale_fn that is a function; kept: mode={leaf.arguments['mode']!r}, "
        "without one; convert the live scheduler where it had one"
        for leaf in node.leaves
        if leaf.name == "CyclicLR"
    ]


def _an_update_s(leaf: Node) -> bool:
    """Whether it is stepped once an update by those who use it: cycles, Transformers' functions and ours."""
    functions = leaf.arguments.get("lr_lambda", ())
    given = functions if isinstance(functions, (list, tuple)) else (functions,)
    known = all(isinstance(function, Factor) or transformers_forms.knows(function) for function in given)
    return leaf.name in CYCLES or (leaf.name == "LambdaLR" and known)


def _epochs(node: Node) -> list[str]:
    names = dict.fromkeys(leaf.name for leaf in node.leaves if not _an_update_s(leaf))
    return [
        f"one step of the schedule is one call of torch's {name}.step(); where that was once an epoch, take "
        "found.schedule.in_epochs(steps_per_epoch)"
        for name in [node.name if node.name in COMPOSITES else "".join(names)]
        if names
    ]


def _passed_over(source: Any) -> list[str]:
    """timm's factors in the groups, which torch's schedulers do not read."""
    groups = () if isinstance(source, (str, Mapping)) else source.optimizer.param_groups
    if all(group.get("lr_scale", 1.0) == 1.0 for group in groups):
        return []
    note = (
        "the groups have an lr_scale, which torch's schedulers pass over; kept: that, so write "
        "attach(..., multiplier=None), since attach multiplies by it"
    )
    return [note]


def _rewritten(node: Node, *, text: bool) -> list[str]:
    """Where one scheduler's construction changes what the others start from."""
    names = dict.fromkeys(leaf.name for leaf in node.leaves if leaf.name in CYCLES)
    kept = "lr, for all of them" if text else "the base rates that they have"
    return [
        f"torch's {name} writes its first rate over the base rate of the schedulers that stand with it; kept: {kept}"
        for name in names
        if node.name in COMPOSITES
    ]


def _resume_notes(node: Node) -> list[str]:
    names = dict.fromkeys(
        [node.name, *(leaf.name for leaf in node.leaves)] if node.name not in COMPOSITES else [node.name]
    )
    return [
        f"torch's {name}, built on a loaded optimizer and then loaded, {RESUMED[name]}; "
        "kept: the curve, which is a function of the step alone"
        for name in names
        if name in RESUMED
    ]


def _late(source: Any, known: int) -> list[str]:
    """The groups that came after the scheduler."""
    groups = () if isinstance(source, Mapping) else source.optimizer.param_groups
    return [
        f"group {group} came after the scheduler, which has no base rate for it; convert it on its own"
        for group in range(known, len(groups))
    ]


def _in_force(source: Any, found: Sequence[Schedule]) -> list[str]:
    """Where the source's last rate is not the curve's: it resumed wrongly, or somebody wrote to the groups."""
    given = source if isinstance(source, Mapping) else vars(source)
    last, step = given.get("_last_lr"), given.get("last_epoch")
    if step is None:  # a ChainedScheduler has none of its own
        inner = given["_schedulers"][0]
        step = (inner if isinstance(inner, Mapping) else vars(inner)).get("last_epoch")
    notes = []
    for group, (rate, schedule) in enumerate(zip(last or (), found, strict=False)):
        at = schedule(max(int(step or 0), 0))
        if not math.isclose(float(rate), at, rel_tol=1e-9, abs_tol=1e-14):
            notes.append(
                f"group {group} is at {float(rate):.6g} in torch, step {step}, where its curve has {at:.6g}: "
                "it resumed wrongly, is past an end, or was written to; kept: the curve"
            )
    return notes
