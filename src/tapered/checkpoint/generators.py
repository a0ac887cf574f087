"""Where every random generator stands: Python's, numpy's, torch's on each device, and generators of one's own."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tapered.files.errors import CheckpointError

Own = torch.Generator | np.random.Generator | np.random.RandomState | random.Random
KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)


def everywhere() -> dict[str, Any]:
    """The state of each generator that a program shares."""
    found: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": np.random.get_state(legacy=False),  # noqa: NPY002 - the global one is what others draw from
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]  # torch leaves it untyped
        found["cuda"] = torch.cuda.get_rng_state_all()
    return found


def prepare_everywhere(saved: dict[str, Any]) -> Callable[[], None]:
    """Check the state of every shared generator; what is returned sets them.

    Raises:
        CheckpointError: a state of another kind, or of devices that are not here.
    """
    random.Random().setstate(saved["python"])  # noqa: S311 - tried on one that nobody uses
    np.random.RandomState().set_state(saved["numpy"])
    torch.Generator().set_state(saved["torch"])
    cuda: list[Tensor] = saved.get("cuda", [])
    here = torch.cuda.device_count() if cuda else 0
    if len(cuda) > here:
        raise CheckpointError(
            f"the generators of {len(cuda)} CUDA devices were saved and {here} are here, so random draws would "
            f"differ; try generators=False, which leaves this process's as they are"
        )

    def apply() -> None:
        random.setstate(saved["python"])
        np.random.set_state(saved["numpy"])  # noqa: NPY002 - as above
        torch.set_rng_state(saved["torch"])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)

    return apply


def state_of(part: Own) -> dict[str, Any]:
    """One generator's state and what kind it is."""
    if isinstance(part, torch.Generator):
        return {"kind": f"torch on {part.device.type}", "state": part.get_state()}
    if isinstance(part, np.random.Generator):
        state: Any = part.bit_generator.state
        return {"kind": f"numpy {state['bit_generator']}", "state": state}
    if isinstance(part, np.random.RandomState):
        return {"kind": "numpy RandomState", "state": part.get_state(legacy=False)}
    return {"kind": "python", "state": part.getstate()}


def prepare(name: str, part: Own, saved: dict[str, Any]) -> Callable[[], None]:
    """Check one generator's state; what is returned sets it.

    Raises:
        CheckpointError: it is another kind of generator.
    """
    own = state_of(part)["kind"]
    if own != saved["kind"]:
        raise CheckpointError(f"`{name}` was a generator of {saved['kind']}; got one of {own}")

    def apply() -> None:
        _set(part, saved["state"])

    return apply


def _set(part: Own, state: Any) -> None:
    if isinstance(part, torch.Generator):
        part.set_state(state)
    elif isinstance(part, np.random.Generator):
        part.bit_generator.state = state
    elif isinstance(part, np.random.RandomState):
        part.set_state(state)
    else:
        part.setstate(state)
