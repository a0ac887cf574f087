"""An arm, and how a step is made, as a command line says them."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from tapered.study.file.arms import Arm
from tapered.study.file.explained import explained
from tapered.study.file.recipe import Steps, group_of
from tapered.workloads.own import StudyFileError

NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")


def arm_of(
    rule: str, lr: str, options: Mapping[str, Any], hypers: Mapping[str, Any], average: Mapping[str, Any] | None = None
) -> Arm:
    """A fixed arm as a command line gives it.

    Args:
        rule: A rule's name.
        lr: A number, or a schedule's text, in which `steps` stands for the run's steps.
        options: The rule's structural choices.
        hypers: Its other hypers, numbers or schedule texts.
        average: Fields of the average that is evaluated; none where there are none.

    Raises:
        StudyFileError: If it is no arm, naming the field.

    >>> arm_of("Adam", "1e-3", {}, {}).path(10, None).hypers["lr"].tolist()[0]
    0.001
    """
    rate = f"constant({lr})" if NUMBER.fullmatch(lr.strip()) else lr
    fields = {"name": rule, "rule": rule, "lr": rate, "options": options, "hypers": hypers, "fixed": True}
    fields |= {"average": average} if average else {}
    try:
        return Arm.model_validate(fields)
    except ValidationError as error:
        raise StudyFileError("; ".join(explained(error))) from None


def steps_of(groups: Sequence[str] = (), **fields: Any) -> dict[str, Any]:
    """How a step is made as a command line says it, without what it leaves out; each group as a text.

    Raises:
        StudyFileError: If a field is none, naming it.

    >>> steps_of(["*.bias: weight_decay=0"], clip_norm=1.0, accumulate=None)
    {'clip_norm': 1.0, 'groups': [{'match': ['*.bias'], 'lr': 1.0, 'weight_decay': 0.0}]}
    """
    given = {name: value for name, value in fields.items() if value is not None}
    try:
        if groups:
            given["groups"] = [group_of(text) for text in groups]
        return Steps.model_validate(given).model_dump(mode="json", exclude_none=True)
    except ValidationError as error:
        raise StudyFileError("; ".join(explained(error))) from None
    except ValueError as error:
        raise StudyFileError(str(error)) from error
