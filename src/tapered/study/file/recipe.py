"""How a step is made, as study files and command lines state it: the fields of `training.recipe.Recipe`.

clip_norm = 1.0
accumulate = 4
groups = [{ match = ["*.bias", "*norm*"], weight_decay = 0.0 }, { match = "encoder.*", lr = 0.1 }]
"""

from typing import Annotated, Any, Literal

from annotated_types import Ge, Le, MinLen
from pydantic import BeforeValidator, ConfigDict, Field

from tapered.study.file.fields import Finite, Positive, Strict, Whole
from tapered.training.recipe import Group, Recipe

Pattern = Annotated[str, MinLen(1)]


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Parameters(Strict):
    """Parameters by the patterns of their names: ``lr`` multiplies their rate, others are hypers in their place."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
    __pydantic_extra__: dict[str, Finite]

    match: Annotated[tuple[Pattern, ...], MinLen(1), Field(strict=False), BeforeValidator(_several)]
    lr: Annotated[Finite, Ge(0)] = 1.0

    def group(self) -> Group:
        """The same as a Recipe has it."""
        return Group(self.match, self.lr, dict(self.model_extra or {}))


class Steps(Strict):
    """What a study's file and `tapered run` say of a step; what is not said is the workload's own."""

    clip_norm: Positive | None = None
    clip_value: Positive | None = None
    accumulate: Annotated[Whole, Ge(1)] | None = None
    groups: Annotated[tuple[Parameters, ...], Field(strict=False)] | None = None
    layer_decay: Positive | None = None
    precision: Literal["float32", "bfloat16", "float16"] | None = None
    params: Literal["bfloat16"] | None = None
    compile: bool | None = None
    device: Annotated[str, MinLen(1)] | None = None
    workers: Annotated[Whole, Ge(0), Le(256)] | None = None

    def recipe(self, own: Recipe) -> Recipe:
        """A workload's recipe with what is said here in the place of its own.

        Raises:
            ValueError: If the two do not go together.
        """
        said = {name: getattr(self, name) for name in Steps.model_fields if name != "groups"}
        groups = None if self.groups is None else tuple(parameters.group() for parameters in self.groups)
        return own.having(**said, groups=groups)


def group_of(text: str) -> dict[str, Any]:
    """A group as a command line gives it: patterns, a colon, and what holds for them.

    Raises:
        ValueError: If it is none.

    >>> group_of("*.bias,*norm*: weight_decay=0")
    {'match': ('*.bias', '*norm*'), 'weight_decay': 0.0}
    """
    patterns, sign, rest = text.rpartition(":")
    fields = dict(_number(part, text) for part in rest.split(",")) if sign and rest.strip() else {}
    match = tuple(pattern.strip() for pattern in patterns.split(",") if pattern.strip())
    if not (match and fields):
        raise ValueError(f"got --group {text!r}; expected patterns and numbers; try --group '*.bias: weight_decay=0'")
    return {"match": match, **fields}


def _number(part: str, text: str) -> tuple[str, float]:
    name, _, value = part.partition("=")
    try:
        return name.strip(), float(value)
    except ValueError:
        raise ValueError(f"got {part.strip()!r} in --group {text!r}; expected name=number; try lr=0.1") from None
