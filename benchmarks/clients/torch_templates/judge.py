"""A template is run with torch's optimizer and with ours; what is seen on both sides is compared. In one word:

equal      the same numbers within the template's tolerance, or a refusal on both sides
refused    torch goes on, ours says in words why it does not
different  other numbers, or ours goes on where torch refuses
crash      ours raises something that is no refusal in words
"""

import contextlib
import linecache
import os
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch_templates.compare import Tolerance, differs, nearer
from torch_templates.database import Options

import tapered

HERE = str(Path(__file__).parent)
OURS, TORCHS = (str(Path(package.__file__).parent) for package in (tapered, torch))
REFUSALS = (TypeError, ValueError, RuntimeError)
CPLUSPLUS = "Inplace update to inference tensor outside InferenceMode is not allowed"  # in words, without a `raise`


@dataclass
class Side:
    """An optimizer's class and the arguments for it; it keeps what a template shows it."""

    kind: Any
    options: Options
    dtype: torch.dtype
    device: str
    info: Any
    torchs: Any  # torch's class of the same name, on either side
    asked: torch.dtype  # what the run is of, also on the side in float64 that judges 16 bits
    seen: list[tuple[str, Any]] = field(default_factory=list)

    def make(self, params: Any, **more: Any) -> Any:
        """The optimizer, with the input's arguments."""
        return self.kind(params, **{**self.options, **more})

    def steady(self) -> Options:
        """In float16 an eps of 1e-8 is 0, and weights whose gradient is small are lost on either side."""
        return {"eps": 1e-3} if self.asked == torch.float16 and "eps" in self.torchs([torch.ones(1)]).defaults else {}

    def see(self, label: str, value: Any) -> None:
        """To be the same on both sides, as it is now."""
        self.seen.append((label, kept(value)))

    @contextlib.contextmanager
    def attempt(self, label: str) -> Iterator[None]:
        """What stands in the block may be refused, on both sides or on none."""
        try:
            yield
        except REFUSALS as error:
            if not (worded(error) or by_torch(error)):
                raise
            self.seen.append((label, "refused"))
        else:
            self.seen.append((label, "taken"))


@dataclass(frozen=True)
class Ending:
    """What one side came to."""

    seen: list[tuple[str, Any]]
    error: Exception | None = None

    @property
    def said(self) -> str:
        """The error, in a line, and where it was raised."""
        if self.error is None:
            return ""
        at = traceback.extract_tb(self.error.__traceback__)[-1]
        words = " ".join(str(self.error).split())
        return f"{type(self.error).__name__}: {words} ({os.path.relpath(at.filename, HERE)}:{at.lineno})"


@dataclass(frozen=True)
class Verdict:
    """The word, what is to be said about it, and whether ours is at least as near to float64's numbers as torch is."""

    word: str
    said: str = ""
    nearer: bool = False


def kept(value: Any) -> Any:
    """A copy that later steps do not change."""
    if isinstance(value, Tensor):
        value = value.detach()
        return value.to_dense().clone() if value.layout != torch.strided else value.clone()
    if isinstance(value, dict):
        return {key: kept(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [kept(entry) for entry in value]
    return value


def worded(error: Exception) -> bool:
    """Raised by a `raise` of ours or of torch's, as a class that means a refusal; no accident in between."""
    at = traceback.extract_tb(error.__traceback__)[-1]
    deliberate = linecache.getline(at.filename, at.lineno or 0).strip().startswith("raise") or CPLUSPLUS in str(error)
    return isinstance(error, REFUSALS) and at.filename.startswith((OURS, TORCHS)) and deliberate


def by_torch(error: Exception) -> bool:
    """Raised inside torch, also where it calls its C++; ours may have called it with nonsense."""
    return traceback.extract_tb(error.__traceback__)[-1].filename.startswith(TORCHS)


def same(theirs: Exception | None, ours: Exception) -> bool:
    """One refusal of torch's own, met on both sides."""
    return type(theirs) is type(ours) and str(theirs) == str(ours)


def ended(act: Callable[[Side], None], side: Side) -> Ending:
    """One side run to its end.

    Raises:
        Exception: the template itself is at fault.
    """
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            act(side)
        except Exception as error:
            at = traceback.extract_tb(error.__traceback__)[-1]
            if at.filename.startswith(HERE) and at.name != "make":  # where Python refuses arguments
                raise
            return Ending(side.seen, error)
    return Ending(side.seen)


def judged(act: Callable[[Side], None], theirs: Side, ours: Side, exact: Side, tolerance: Tolerance) -> Verdict:
    """Both sides run and compared; `exact` is torch's again, in float64, for numbers of 16 bits that differ."""
    expected, found = ended(act, theirs), ended(act, ours)
    if found.error is not None:
        if not (worded(found.error) or same(expected.error, found.error)):
            return Verdict("crash", found.said)
        return Verdict("refused" if expected.error is None else "equal", found.said)
    if expected.error is not None:
        return Verdict("different", f"torch refuses, ours goes on: {expected.said}")
    if [label for label, _ in expected.seen] != [label for label, _ in found.seen]:
        return Verdict("different", "the two sides were not asked the same")
    for (label, a), (_, b) in zip(expected.seen, found.seen, strict=True):
        if said := differs(a, b, tolerance):
            return Verdict("different", f"{label}: {said}", near(act, exact, expected, found))
    return Verdict("equal")


def near(act: Callable[[Side], None], exact: Side, expected: Ending, found: Ending) -> bool:
    """Ours is as near to the numbers of torch's loop in float64 as torch is."""
    right = ended(act, exact)
    if right.error is not None:
        return False
    seen = ([value for _, value in ending.seen] for ending in (right, found, expected))
    try:
        return nearer(*seen)
    except (KeyError, TypeError, ValueError, RuntimeError):  # something is missing on one side, or of another shape
        return False
