"""torch's own table of optimizers, with the arguments that its tests give them; it comes with torch."""

import copy
import sys
from types import ModuleType
from typing import Any
from unittest import mock

import torch

import tapered

# beside torch.optim's, which any script may import
HELPERS = ("common_device_type", "common_methods_invocations", "common_utils")
Options = dict[str, Any]


class Nothing:
    """Whatever a helper of torch's tests is asked for, decorators above all."""

    def __init__(self, *_args: object, **_options: object) -> None: ...

    def __call__(self, *_args: object, **_options: object) -> "Nothing":
        return self

    def __getattr__(self, name: str) -> "Nothing":
        return Nothing()


class Hollow(ModuleType):
    """A module in which every public name is Nothing."""

    def __getattr__(self, name: str) -> type[Nothing]:
        if name.startswith("__"):
            raise AttributeError(name)
        return Nothing


def table() -> ModuleType:
    """torch.testing's table, without its helpers.

    They want packages that torch does not bring, forbid backend flags to the process that imports them, and put
    Hypothesis in a profile of their own.
    """
    place = "torch.testing._internal"
    with mock.patch.dict(sys.modules, {f"{place}.{name}": Hollow(name) for name in HELPERS}):
        from torch.testing._internal import common_optimizers
    return common_optimizers


TABLE = table()
OURS = {info.name: info for info in TABLE.optim_db if hasattr(tapered, info.name)}
LACKED = sorted(info.name for info in TABLE.optim_db if info.name not in OURS)

# how an update is asked to be run; by what a user writes
WAYS: dict[str, Options] = {
    "default": {},
    "flags False": {"foreach": False, "fused": False},
    "foreach=True": {"foreach": True},
    "fused=True": {"fused": True},
    "differentiable=True": {"differentiable": True},
    "capturable=True": {"capturable": True},
    "compile=True": {"compile": True},
}


def inputs(info: Any, device: str) -> dict[str, Options]:
    """The arguments that torch's tests give this optimizer, by their description; tensors among them are new."""
    given = info.optim_inputs_func(device=device)
    return {entry.desc.strip() or str(entry.kwargs): copy.deepcopy(entry.kwargs) for entry in given}


def flags(info: Any, device: str, way: str) -> Options | None:
    """The arguments of a way, or None where torch's optimizer has no such way on this device."""
    known = {"foreach", "differentiable", "compile"}
    if device in info.supports_fused_on:
        known.add("fused")
    if info.has_capturable_arg:
        known.add("capturable")
    options = {name: value for name, value in WAYS[way].items() if name in known}
    return options if options or way == "default" else None


def torchs(options: Options) -> Options:
    """The arguments that torch's optimizers have, too."""
    return {name: value for name, value in options.items() if name != "compile"}


def kinds(name: str) -> tuple[type[torch.optim.Optimizer], type[torch.optim.Optimizer]]:
    """torch's optimizer and ours."""
    return getattr(torch.optim, name), getattr(tapered, name)
