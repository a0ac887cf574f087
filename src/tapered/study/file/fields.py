"""The kinds of field that a study file has: numbers as TOML writes them, within their ranges; nothing else is taken."""

import shlex
from typing import Annotated, Any

from annotated_types import Gt, Lt, MaxLen, MinLen
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict, Field

__all__ = ["Finite", "Name", "Positive", "Share", "Strict", "Whole", "Words"]


def _whole(value: Any) -> Any:
    """A whole number as TOML may write it, 2e3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _words(value: Any) -> Any:
    """Words as they are, or as a shell would part them; nothing else of a shell is done with them."""
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    try:
        return tuple(shlex.split(value))
    except ValueError as error:
        raise ValueError(f"got {value!r}, which has no end ({error}); close the quotation") from error


Whole = Annotated[int, BeforeValidator(_whole)]
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[Finite, Gt(0)]
Share = Annotated[float, Gt(0), Lt(1)]
Words = Annotated[tuple[str, ...], Field(strict=False), BeforeValidator(_words)]
Name = Annotated[str, MinLen(1), MaxLen(200)]


class Strict(BaseModel):
    """Unknown keys are refused, true is no 1 and "1" no number, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
