"""The public names: those of `tapered` and of the rooms that are documented, each by the shortest way to import it."""

import functools
import importlib
import inspect
from collections.abc import Iterator

import tapered

ROOMS = (*tapered.ROOMS, "optim", "workloads", "results", "stats", "rules", "claims")
# what workloads are trained by in Python; `tapered.training` itself names nothing
TRAINING = ("advance.start", "advance.advance", "advance.evaluate", "rows.tabulate", "averages.Average")

# classes in several files, whose other methods are for one another
CALLED = {
    "tapered.attach.Clock": "replace, extend, observe, freeze, unfreeze, frozen, detach, state_dict, load_state_dict, "
    "schedules, rates, last_lr",
    "tapered.optim.Optimizer": "step, minimize, readout, replace, extend, observe, freeze, unfreeze, frozen, "
    "state_dict, load_state_dict, add_param_group, schedules, steps, last_lr, report, rule",
}


def documented(value: object) -> bool:
    """Whether a name is a class or a function, which has a docstring of its own."""
    return inspect.isclass(value) or inspect.isfunction(value)


def names(room: str) -> list[str]:
    """What a room offers, in its own order."""
    module = importlib.import_module(f"tapered.{room}")
    said = getattr(module, "__all__", None)
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", "").startswith("tapered.")]
    return list(said) if said else [name for name in own if not name.startswith("_")]


def of_room(room: str) -> Iterator[tuple[str, object]]:
    """Full name and value of everything that is documented on a room's page."""
    module = importlib.import_module(f"tapered.{room}")
    for name in names(room):
        value = getattr(module, name)
        short = name in tapered.__all__ and getattr(tapered, name) is value
        yield f"tapered.{name}" if short else f"tapered.{room}.{name}", value


def of_training() -> Iterator[tuple[str, object]]:
    """What is left: names of `tapered` that no room's page has, and what trains them."""
    elsewhere = {full for room in ROOMS for full, _ in of_room(room)}
    for name in tapered.__all__:
        if documented(getattr(tapered, name)) and f"tapered.{name}" not in elsewhere:
            yield f"tapered.{name}", getattr(tapered, name)
    for path in TRAINING:
        module, name = path.split(".")
        yield f"tapered.training.{path}", getattr(importlib.import_module(f"tapered.training.{module}"), name)


@functools.cache
def every() -> dict[str, object]:
    """All public names."""
    return dict([pair for room in ROOMS for pair in of_room(room)] + list(of_training()))


@functools.cache
def places() -> set[str]:
    """Where the public classes are made, by which annotations name them."""
    return {f"{value.__module__}.{value.__qualname__}" for value in every().values() if inspect.isclass(value)}
