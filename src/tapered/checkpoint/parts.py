"""What a checkpoint is made of: modules, optimizers, tensors, generators, anything with a state dict, plain values.

state_of(part) ─► a tree of tensors and plain values          prepare(part, tree) ─► checked; a call that applies it
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from tapered.attach import Clock
from tapered.attach.scheduler import FollowingScheduler
from tapered.checkpoint import attributes, generators, optimizers, schedulers
from tapered.checkpoint.change import Change
from tapered.files.errors import CheckpointError
from tapered.files.tree import leaves, same

Tree = dict[str, Any]
Apply = Callable[[], None]
ORDER = ("tensor", "module", "optimizer", "object", "generator", "value")  # in which parts are applied


def unwrapped(part: Any) -> Any:
    """The model itself, where torch.compile or DistributedDataParallel has put itself around it."""
    part = getattr(part, "_orig_mod", part)
    return part.module if isinstance(part, nn.parallel.DistributedDataParallel) else part


def kind_of(part: Any) -> str:
    """How a part is saved."""
    if isinstance(part, Tensor):
        return "tensor"
    if isinstance(part, nn.Module):
        return "module"
    if isinstance(part, torch.optim.Optimizer):
        return "optimizer"
    if isinstance(part, generators.KINDS):
        return "generator"
    return "object" if callable(getattr(part, "state_dict", None)) else "value"


def class_of(part: Any) -> str:
    """The name of a part's class, with its module."""
    return f"{type(part).__module__}.{type(part).__qualname__}"


def names_of(parts: Mapping[str, Any]) -> dict[int, str]:
    """Parameter -> its name, from the modules and tensors among the parts; a tied one by its first name."""
    found: dict[int, str] = {}
    for name, part in parts.items():
        if isinstance(part, Tensor):
            found.setdefault(id(part), name)
        elif isinstance(part, nn.Module):
            for key, param in part.named_parameters():
                found.setdefault(id(param), f"{name}.{key}")
    return found


def state_of(name: str, part: Any, parts: Mapping[str, Any]) -> Tree:
    """A part as a tree: kind, class and state.

    Raises:
        CheckpointError: an optimizer whose parameters or scheduler are not among the parts.
    """
    kind = kind_of(part)
    state: Any = part
    if kind == "module":
        state = dict(part.state_dict())
    elif kind == "optimizer":
        state = optimizers.state_of(name, part, names_of(parts), parts.values())
    elif kind == "generator":
        state = generators.state_of(part)
    elif kind == "object":
        state = part.state_dict()
    found = {"kind": kind, "class": class_of(part) if kind not in ("value", "tensor") else "", "state": state}
    return {**found, "numbers": attributes.numbers_of(part)} if kind == "module" else found


def _named(kind: str) -> str:
    """A class of tapered's by its own name: in which room it stands is no part of a saved state."""
    return f"tapered.{kind.rpartition('.')[2]}" if kind.startswith("tapered.") else kind


def prepare(name: str, part: Any, saved: Tree, parts: Mapping[str, Any], change: Change) -> Apply:
    """Check all of a part's saved state against the part; what is returned applies it.

    Raises:
        CheckpointError: naming the part, what was saved and what it is now.
    """
    kind = kind_of(part)
    if kind == "value":
        raise CheckpointError(
            f"got {part!r:.40} for `{name}`, which cannot take a state; plain values come back in the result: leave "
            f"{name} out here and read .values[{name!r}]"
        )
    mine = class_of(part) if kind != "tensor" else ""
    if (kind, _named(mine)) != (saved["kind"], _named(saved["class"])) and kind != "module":
        raise CheckpointError(
            f"`{name}` was saved from {saved['class'] or 'a ' + saved['kind']}; got {class_of(part)}; give the same"
        )
    state = saved["state"]
    if kind == "tensor":
        return _prepare_tensors(name, {"": part}, {"": state})
    if kind == "module":
        load = _prepare_module(name, part, state)  # another model has other attributes too: its tensors say more
        attributes.prepare(name, part, saved.get("numbers", attributes.numbers_of(part)), change.attributes)
        return both(load, attributes.setting(part, saved.get("numbers", {}))) if change.attributes == "saved" else load
    if kind == "optimizer":
        return optimizers.prepare(name, part, state, names_of(parts), parts.values(), change)
    if kind == "generator":
        return generators.prepare(name, part, state)
    return _prepare_object(name, part, state, change)


def both(first: Apply, second: Apply) -> Apply:
    """One call, then the other."""

    def apply() -> None:
        first()
        second()

    return apply


def _prepare_module(name: str, part: nn.Module, saved: Tree) -> Apply:
    own = part.state_dict()
    tensors = {key: value for key, value in own.items() if isinstance(value, Tensor)}
    _same_names(name, saved.keys(), own.keys())
    _prepare_tensors(name, tensors, saved)
    if ties(tensors) != ties({key: saved[key] for key in tensors}):
        raise CheckpointError(
            f"`{name}` ties other tensors than when it was saved: {sorted(map(sorted, ties(tensors)))} now, "
            f"{sorted(map(sorted, ties({key: saved[key] for key in tensors})))} then; tie the same ones"
        )

    def apply() -> None:
        part.load_state_dict(saved)

    return apply


def _prepare_tensors(name: str, own: Mapping[str, Tensor], saved: Tree) -> Apply:
    for key, value in own.items():
        found = saved[key]
        if not isinstance(found, Tensor) or (found.shape, found.dtype) != (value.shape, value.dtype):
            was = f"{tuple(found.shape)} {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise CheckpointError(
                f"`{name}{'.' + key if key else ''}` was saved as {was}; this one is {tuple(value.shape)} "
                f"{value.dtype}; build the same model"
            )

    def apply() -> None:
        with torch.no_grad():
            for key, value in own.items():
                value.copy_(saved[key])

    return apply


def ties(tensors: Mapping[str, Tensor]) -> set[frozenset[str]]:
    """Which names hold one tensor."""
    found: dict[tuple[Any, ...], set[str]] = {}
    for key, value in tensors.items():
        if value.numel():
            place = (value.device, value.data_ptr(), tuple(value.shape), value.stride())
            found.setdefault(place, set()).add(key)
    return {frozenset(names) for names in found.values() if len(names) > 1}


def _same_names(name: str, saved: Any, own: Any) -> None:
    missing, extra = sorted(map(str, own - saved)), sorted(map(str, saved - own))
    if missing or extra:
        said = [f"{what} {some[:5]}{' and more' if len(some) > 5 else ''}"
                for what, some in (("not saved:", missing), ("saved but not there:", extra)) if some]  # fmt: skip
        raise CheckpointError(f"`{name}` is not what was saved; {'; '.join(said)}; build the same one")


def _prepare_object(name: str, part: Any, saved: Any, change: Change) -> Apply:
    own = part.state_dict()
    if isinstance(own, Mapping) != isinstance(saved, Mapping):
        raise CheckpointError(f"`{name}` was saved as a {type(saved).__name__}; its state is a {type(own).__name__}")
    if isinstance(own, Mapping):
        _same_names(name, saved.keys(), own.keys())
    if isinstance(part, LRScheduler) and not isinstance(part, FollowingScheduler):
        schedulers.check(name, part, own, saved)
    if isinstance(part, Clock) and change.hypers:
        return lambda: None  # its optimizer's fork tells it
    how = {"policy": "saved"} if isinstance(part, Clock) and change.saved_hold else {}
    mine = dict(leaves(own))
    for path, value in leaves(saved):
        if isinstance(value, Tensor) and isinstance(mine.get(path), Tensor):
            _prepare_tensors(f"{name}.{path}", {"": mine[path]}, {"": value})

    def apply() -> None:
        part.load_state_dict(saved, **how)
        took = dict(leaves(part.state_dict()))
        for path, value in leaves(saved):
            if path not in took or not same(value, took[path]):
                now = f"{took.get(path)!r:.80}"
                raise CheckpointError(f"`{name}` did not take its state: `{path}` was {value!r:.80} and is {now}")

    return apply
