"""`guard`: its arguments are checked, then it watches."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tapered.attach.layers import maker, takes_hooks
from tapered.checkpoint.parts import kind_of, names_of, unwrapped
from tapered.guards.rewinding import Rewind
from tapered.guards.watch import Guard, Policy

MOST = {"raise": 0, "skip": 10, "rewind": 3}


def guard(
    optimizer: torch.optim.Optimizer,
    policy: Policy,
    /,
    *,
    most: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    **parts: Any,
) -> Guard:
    """Look at the gradients before each update, so that a bad one does not destroy the run.

    Bad is a gradient with an entry that is not finite, or with one whose square its second moment (of Adam and its
    relatives, RMSprop, Adadelta, Adagrad) cannot hold: float32's ends at 3.4e38, and a moment that is infinite freezes
    its parameter for ever.

    Every policy acts before the update has changed anything:

    * "raise": a `GradientError` names step, group, parameter and value.
    * "skip": the step is left out; parameters, state, counters and schedules stay as they are, bit for bit. What the
      forward pass itself has moved (generators, BatchNorm's statistics) is not undone.
    * "rewind": everything goes back to the last finite checkpoint in `folder`, and `Rewound` tells the training loop
      where to go on. Gradients are None then.

    A deep copy or a pickle of the optimizer has no guard.

    Args:
        optimizer: tapered's or any other, attached or not; also before `attach`.
        policy: what to do.
        most: for "skip", so many steps in a row are left out, and the next one raises (10 if not given); for "rewind",
            so many times the run goes back to one checkpoint (3).
        folder: for "rewind", where `tapered.checkpoint.save` saves the run.
        parts: for "rewind", what `save` is given, by the same names and without plain values.

    Returns:
        The guard: `guard.skipped`, `guard.in_a_row`, `guard.rewinds`, `guard.fault`, `guard.detach()`.

    Raises:
        TypeError, ValueError: an argument that cannot be, a second guard; nothing has changed then.

    Example:
        >>> import torch, tapered
        >>> weight = torch.nn.Parameter(torch.ones(2))
        >>> optimizer = tapered.Adam([weight], lr=0.125)
        >>> watching = guard(optimizer, "skip", most=10)
        >>> for factor in (1.0, float("nan"), 1e30):
        ...     loss = optimizer.minimize(factor * weight.sum())
        >>> weight.tolist(), optimizer.steps, watching.skipped
        ([0.875, 0.875], 1, 2)
        >>> str(watching.fault)[:45]
        'got 1.0000000150474662e+30 in the gradient of'
    """
    takes_hooks(optimizer, "guard")
    if policy not in MOST:
        raise ValueError(f"got {policy!r} for `policy`; expected 'raise', 'skip' or 'rewind'")
    if guard_of(optimizer) is not None:
        raise ValueError(f"this {type(optimizer).__name__} has a guard already; try guard_of(optimizer).detach() first")
    limit = _most(policy, most)
    if policy != "rewind":
        _only_rewind(policy, folder, parts)
        return Guard(maker(optimizer), policy, limit, None, {})
    path = _parts(optimizer, folder, parts)
    names = names_of({name: unwrapped(part) for name, part in parts.items()})
    return Guard(maker(optimizer), policy, limit, Rewind(path, parts, limit), names)


def guard_of(optimizer: torch.optim.Optimizer) -> Guard | None:
    """The guard that watches an optimizer, if there is one.

    Args:
        optimizer: any, guarded or not.

    Example:
        >>> import torch, tapered
        >>> optimizer = tapered.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
        >>> watching = guard(optimizer, "skip")
        >>> guard_of(optimizer) is watching
        True
    """
    hooks = getattr(maker(optimizer), "_optimizer_step_pre_hooks", {}).values()
    owners = (getattr(hook, "__self__", None) for hook in hooks)
    return next((owner for owner in owners if isinstance(owner, Guard)), None)


def _most(policy: Policy, most: int | None) -> int:
    if most is None:
        return MOST[policy]
    if policy == "raise":
        raise ValueError(f"got most={most!r} for the policy 'raise', which takes none; try guard(optimizer, 'raise')")
    if isinstance(most, bool) or not isinstance(most, int):
        raise TypeError(f"got {most!r} for `most`; expected a whole number; try most={MOST[policy]}")
    if most < 1:
        raise ValueError(f"got {most!r} for `most`; expected at least 1; to stop at the first one, guard(o, 'raise')")
    return most


def _only_rewind(policy: Policy, folder: Any, parts: Mapping[str, Any]) -> None:
    given = [*(["folder"] if folder is not None else []), *parts]
    if given:
        raise TypeError(f"got {', '.join(given)} for the policy {policy!r}; only 'rewind' goes back to a checkpoint")


def _parts(optimizer: torch.optim.Optimizer, folder: str | os.PathLike[str] | None, parts: Mapping[str, Any]) -> Path:
    example = "guard(optimizer, 'rewind', folder=folder, model=model, optimizer=optimizer)"
    if folder is None:
        raise TypeError(f"the policy 'rewind' needs the folder of the checkpoints; try {example}")
    if not any(part is optimizer for part in parts.values()):
        raise TypeError(f"got the parts {sorted(parts)} without this optimizer; give what save is given: {example}")
    plain = [name for name, part in parts.items() if kind_of(unwrapped(part)) == "value"]
    if plain:
        raise TypeError(
            f"got plain values for {plain}, which cannot go back; leave them out, and read back.resumed.values"
        )
    return Path(folder)
