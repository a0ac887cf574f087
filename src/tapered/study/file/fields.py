"""The kinds of field that a study file has: numbers as TOML writes them, within their ranges; nothing else is taken."""

from typing import Annotated, Any

from annotated_types import Gt, Lt, MaxLen, MinLen
from pydantic import AllowInfNan, BaseModel, BeforeValidator, ConfigDict

__all__ = ["Finite", "Name", "Positive", "Share", "Strict", "Whole"]


def _whole(value: Any) -> Any:
    """A whole number as TOML may write it, 2e3."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Finite = Annotated[float, AllowInfNan(False)]
Positive = Annotated[Finite, Gt(0)]
Share = Annotated[float, Gt(0), Lt(1)]
Name = Annotated[str, MinLen(1), MaxLen(200)]


class Strict(BaseModel):
    """Unknown keys are refused, true is no 1 and "1" no number, values do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
