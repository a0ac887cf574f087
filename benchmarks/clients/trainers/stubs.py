"""Modules that a framework imports and does not use here, such as torchvision, which fits one version of torch only."""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
import types
from typing import Any

NEEDED = {"fastai": ("torchvision",), "composer": ("torchvision", "mcli")}  # mcli: its maker's cloud


class Hollow(types.ModuleType):
    """Any name that is asked for is an empty class."""

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds each module of one package, hollow."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, *_: Any) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if self.ours(name) else None

    def ours(self, name: str) -> bool:
        return name.split(".", maxsplit=1)[0] == self.package

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return Hollow(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__path__, module.__version__ = [], "0"


def put(*packages: str) -> None:
    """Hollow modules for those that are not installed."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            sys.meta_path.append(Finder(package))
