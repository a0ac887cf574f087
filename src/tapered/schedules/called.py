"""How a kind of schedule is called, as `help` shows it: in plain types, and no default where something must be given.

    decay_steps: Span = REQUIRED ─► kind ─► cosine_decay(initial: float = 1.0, *, decay_steps: float, ...)

What a field takes is said by its annotation, which checks.py reads; who asks for help need not see how.
"""

import inspect
from collections.abc import Callable
from dataclasses import Field, dataclass, field
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin

from tapered.schedules.checks import REQUIRED

Value = TypeVar("Value")


def required() -> Any:
    """A field that must be given, and is refused by name where it is not."""
    return field(default=REQUIRED)


def shown(cls: type[Value]) -> type[Value]:
    """Show a dataclass as it is called. What stands behind a required field is called by name, and may be by place."""
    cls.__annotations__ = {name: plain(hint) for name, hint in inspect.get_annotations(cls).items()}
    made: Any = vars(cls).get("__init__")
    if made is not None:
        made.__annotations__ = {name: plain(hint) for name, hint in made.__annotations__.items()}
        made.__signature__ = signature(made)
    return cls


@dataclass_transform(frozen_default=True, field_specifiers=(required, field, Field))
def kind(cls: type[Value]) -> type[Value]:
    """A frozen dataclass that prints as its own text, and is shown as it is called."""
    return shown(dataclass(frozen=True, repr=False)(cls))


def plain(hint: Any) -> Any:
    """An annotation without what is checked by it."""
    return get_args(hint)[0] if get_origin(hint) is Annotated else hint


def signature(function: Callable[..., Any]) -> inspect.Signature:
    """A function's, in which nothing has a default that has none."""
    found = inspect.signature(function)
    parameters, optional, named = [], False, False
    for parameter in found.parameters.values():
        needed = parameter.default is REQUIRED
        named |= needed and optional  # Python has no place for it behind what may be left out
        optional |= not needed and parameter.default is not parameter.empty
        changes: dict[str, Any] = {"default": parameter.empty} if needed else {}
        parameters.append(parameter.replace(kind=parameter.KEYWORD_ONLY if named else parameter.kind, **changes))
    return found.replace(parameters=parameters)
