"""What a study is asked, in words, and which of its arms are compared.

question = "Does a cosine beat a constant rate here?"        [[arms]]
criterion = "cosine against constant helps on fresh seeds"   name = "cosine"
                                                             against = "constant"
"""

import tomllib
from collections.abc import Iterator, Sequence
from typing import Annotated, Any

from annotated_types import MaxLen, MinLen
from pydantic import BeforeValidator, Field, ValidationError

from tapered.study.file.fields import Name, Strict
from tapered.words import suggest

TEXTS = ("question", "claim", "criterion", "known")


def _one_line(value: Any) -> Any:
    """A text as one paragraph, however its lines were broken in the file."""
    return " ".join(value.split()) if isinstance(value, str) else value


def _several(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


Text = Annotated[str, MinLen(1), MaxLen(4000), BeforeValidator(_one_line)]
Against = Annotated[tuple[Name, ...], Field(strict=False), BeforeValidator(_several)]


class Question(Strict):
    """What a study is asked.

    ``question`` is what it is to answer, ``claim`` what was said, ``criterion`` what decides, stated before anything is
    run, ``known`` what is known of it already. No number depends on them, so that a folder goes on where they are
    worded otherwise; the result then says what they were.
    """

    question: Text | None = None
    claim: Text | None = None
    criterion: Text | None = None
    known: Text | None = None

    @property
    def texts(self) -> dict[str, str]:
        """Those that are stated, by name, the question first."""
        return {name: text for name in TEXTS if (text := getattr(self, name)) is not None}


def restated(before: str, now: Question) -> Iterator[str]:
    """What is asked now and was not when the first runs were trained, a sentence each: a criterion comes before them.

    Args:
        before: The study's file as it was; one that cannot be read says nothing.
        now: What is asked.
    """
    try:
        fields = tomllib.loads(before)
        then = Question.model_validate({name: fields[name] for name in TEXTS if name in fields}).texts
    except (tomllib.TOMLDecodeError, RecursionError, ValidationError):
        return
    if not before:
        return
    late = [name for name in now.texts if name not in then]
    if late:
        yield f"Written after runs had been trained: {', '.join(late)}."
    for name, text in then.items():
        if text != now.texts.get(name):
            yield f"The {name} was changed after runs had been trained; it was: {text}"


def pairs(baseline: str, arms: Sequence[Any]) -> tuple[tuple[str, str], ...]:
    """Who is compared with whom: (arm, what it is compared with), in the order of the file.

    A tuned arm is compared with what its ``against`` names, with the baseline where it says nothing, with none where
    that is empty. Fixed arms are compared with none.

    Args:
        baseline: The study's.
        arms: Its arms.
    """
    found = []
    for arm in arms:
        others = (baseline,) if arm.against is None else arm.against
        found += [(arm.name, other) for other in others if not arm.fixed and other != arm.name]
    return tuple(found)


def check_against(baseline: str, arms: Sequence[Any]) -> None:
    """Every ``against`` names other tuned arms, and no two arms are compared twice.

    Raises:
        ValueError: If one does not, or two are.
    """
    tuned = [arm.name for arm in arms if not arm.fixed]
    for arm in arms:
        for other in arm.against or ():
            if arm.fixed:
                raise ValueError(
                    f"arm {arm.name!r} has against = {other!r} and fixed = true, and a fixed arm is reported beside "
                    f"the comparisons; leave one of the two out"
                )
            if other == arm.name:
                raise ValueError(f"arm {arm.name!r} is against itself; try against = {baseline!r}, or leave it out")
            if other not in tuned:
                raise ValueError(
                    f"arm {arm.name!r} is against {other!r}, which is not a tuned arm; {suggest(other, tuned)}"
                )
    found = [frozenset(pair) for pair in pairs(baseline, arms)]
    twice = next((pair for pair in found if found.count(pair) > 1), None)
    if twice is not None:
        one, two = sorted(twice)
        raise ValueError(
            f"{one!r} and {two!r} are compared twice, which costs each comparison of the study some of its certainty; "
            f"name the pair once, and try against = [] where an arm is compared with none"
        )
