"""What pydantic finds wrong in a study file, each as a sentence: the field, what is wrong, what to try."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tapered.study.file.arms import Arm, Peaks
from tapered.study.file.recipe import Parameters, Steps
from tapered.study.file.space import Range, names_in
from tapered.study.file.study import Prune, Study, Tune
from tapered.words import suggest

PARTS: Mapping[Any, type[Any]] = {
    "groups": Parameters,
    "arms": Arm,
    "peaks": Peaks,
    "prune": Prune,
    "tune": Tune,
    "space": Range,
}
STOPS = {"stop", "early_stop", "early_stopping", "patience"}


def explained(error: ValidationError) -> list[str]:
    """Each of pydantic's findings as one sentence of ours."""
    return [_explain(item) for item in error.errors()]


def _explain(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return _unknown(where, item["loc"])
    if item["type"] == "missing":
        return f"{where} is missing"
    if item["loc"] and names_in(item["input"]) and isinstance(item["input"], str):
        why = ", which all arms share" if item["loc"][0] in Steps.model_fields else ""
        return (
            f"{where} = {item['input']!r} stands for a number that is searched, and only the lr, hypers, resets and "
            f"average of an arm are, not {where}{why}; try a number, and a study for each"
        )
    message = item["msg"].removeprefix("Value error, ")
    given = "" if isinstance(item["input"], dict) else f" (got {item['input']!r})"
    return f"{where}: {message}{given}" if where else message


def _unknown(where: str, loc: Sequence[Any]) -> str:
    """A field that there is not: another's name, or one that stands elsewhere."""
    name = str(loc[-1])
    if len(loc) == 1 and name in STOPS:
        return (
            f"{where} would end runs early, each at its own step, and arms of unequal budgets cannot be compared; "
            f"leave it out, and see in the curves where a run was best; prune = {{ rungs = [0.25] }} spares runs"
        )
    if loc[0] == "arms" and name in Steps.model_fields:
        return (
            f"{where}: how a step is made is the same for all arms, so that they differ by what they are compared by; "
            f"state {name} once, above the arms, or a study for each"
        )
    model = next((PARTS[part] for part in reversed(loc[:-1]) if part in PARTS), Study)
    return f"{where} is no field of a study; {suggest(name, model.model_fields)}"
