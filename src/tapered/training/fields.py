"""Dataclasses of many fields: one that is not there is refused by name, and `help` shows those that are."""

import inspect
from dataclasses import fields
from typing import Any, TypeVar

from tapered.words import suggest

Value = TypeVar("Value")


def named(cls: type[Value]) -> type[Value]:
    """Refuse fields that a dataclass has not, with the one that was meant; Python's own words name no other."""

    def new(kind: Any, *_: Any, **given: Any) -> Any:
        known = [each.name for each in fields(kind)]
        for name in given.keys() - set(known):
            raise TypeError(f"{name!r} is no field of a {cls.__name__}; {suggest(name, known)}")
        return object.__new__(kind)

    made: Any = cls
    _, *given = inspect.signature(made.__init__).parameters.values()
    made.__new__, made.__signature__ = new, inspect.Signature(given)
    return cls
