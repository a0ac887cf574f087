"""A saved average: what it says is checked before anything is taken from it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from tapered.attach.saved import whole
from tapered.rules import State
from tapered.rules.averaged import Beside
from tapered.training.averages import Average

FORMAT = 1
KEYS = {"format", "average", "updates", "at", "weights"}


@dataclass(frozen=True)
class Saved:
    """What a state says.

    Args:
        updates: Of the average.
        at: Where the optimizer's own count stood; None where it had none.
        kept: The average's tensors by name.
    """

    updates: int
    at: int | None
    kept: dict[str, State]


def taken_after(asked: Average, updates: int) -> int:
    """Of how many of the first updates the weights are taken; `start` and `every` are numbers of updates."""
    since = updates - int(asked.start or 1)
    return since // int(asked.every or 1) + 1 if since >= 0 else 0


def read(state: Mapping[str, Any], stated: Mapping[str, Any], rule: Beside, asked: Average) -> Saved:
    """What a state says, its tensors copied.

    Raises:
        TypeError, ValueError: it is none, is damaged, or of another average.
    """
    if not isinstance(state, Mapping) or not state.keys() >= KEYS:
        shown = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"got {shown}; expected an average's state with {sorted(KEYS)}; try average.state_dict()")
    if state["format"] != FORMAT:
        raise ValueError(
            f"got an average's state of format {state['format']!r}; this version of tapered reads format {FORMAT}"
        )
    saved, updates, at = state["average"], whole(state["updates"]), state["at"]
    if saved != stated:
        raise ValueError(f"the saved average is {saved}, this one is {stated}; make the same one, then load")
    weights = state["weights"]
    entries: list[Any] = list(weights.values()) if isinstance(weights, Mapping) else [None]
    sound = all(isinstance(entry, Mapping) and entry.keys() == {*rule.names} for entry in entries)
    taken = taken_after(asked, updates)
    if not sound or bool(entries) != (taken > 0) or any(float(e.get("taken", taken)) != taken for e in entries):
        raise ValueError(
            f"the saved average is damaged: after {updates} updates it has taken weights {taken} times, and its "
            f"tensors are not those; load an earlier one"
        )
    kept = {str(name): {key: t.detach().clone() for key, t in entry.items()} for name, entry in weights.items()}
    return Saved(updates, None if at is None else whole(at), kept)


def beside(rule: Beside, kept: Mapping[str, State], tensors: Mapping[str, Tensor]) -> dict[str, State]:
    """What is kept, each where its tensor is; what has no tensor here yet stays as it is.

    Raises:
        ValueError: one of another shape or type.
    """
    found: dict[str, State] = {}
    for name, state in kept.items():
        if name in tensors:
            like = rule.begun(tensors[name].detach().to("meta"))
            for key, wanted in like.items():
                got = state[key]
                if (got.shape, got.dtype) != (wanted.shape, wanted.dtype):
                    raise ValueError(
                        f"the average of {name!r} was saved as {tuple(got.shape)} {got.dtype}; expected "
                        f"{tuple(wanted.shape)} {wanted.dtype}; build the same model"
                    )
            found[name] = {key: t.to(tensors[name].device) for key, t in state.items()}
        else:
            found[name] = dict(state)
    return found


def stood_still(rule: Beside, tensor: Tensor, taken: int) -> State:
    """What would be kept of a tensor that has held what it holds for so many weights."""
    state = dict(rule.begun(tensor.detach()))
    if "latest" in state:
        state["latest"][:] = tensor.detach()
        state["taken"].fill_(taken)
    return state
