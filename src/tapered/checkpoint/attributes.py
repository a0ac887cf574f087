"""Plain numbers that a module keeps beside its state dict: a counter of an average, a temperature that is annealed.

torch saves none of them, so a run that goes on without would be another one.
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal

from torch import nn

from tapered.files.errors import CheckpointError
from tapered.files.tree import same

Numbers = dict[str, bool | int | float]


def numbers_of(module: nn.Module) -> Numbers:
    """Every public attribute that is a number, by its path; the training mode is the caller's to set."""
    return {
        f"{path}.{key}".lstrip("."): value
        for path, part in module.named_modules()
        for key, value in vars(part).items()
        if type(value) in (bool, int, float) and not key.startswith("_") and key != "training"
    }


def prepare(name: str, module: nn.Module, saved: Mapping[str, Any], how: Literal["same", "saved", "any"]) -> None:
    """Compare the saved numbers with the module's.

    Raises:
        CheckpointError: one differs, with both values and what keeps it.
    """
    own = numbers_of(module)
    for path, value in saved.items():
        if type(value) not in (bool, int, float) or (how == "saved" and path not in own):
            raise CheckpointError(f"`{name}.{path}` was {value!r:.80} when it was saved, and is no number here")
    for path in sorted(own.keys() | saved.keys()) if how == "same" else ():
        one, other = (found.get(path, "not there") for found in (own, saved))
        if not same(one, other):
            raise CheckpointError(
                f"`{name}.{path}` was {other!r} when it was saved, and is {one!r} here; it is an attribute that no "
                f"state dict holds, so the run would go on as another; keep it in a buffer (register_buffer) or in "
                f"get_extra_state, set it before, or resume(..., attributes='saved'), which sets it"
            )


def setting(module: nn.Module, saved: Mapping[str, Any]) -> Callable[[], None]:
    """A call that sets the numbers."""
    parts = dict(module.named_modules())

    def apply() -> None:
        for path, value in saved.items():
            place, _, key = path.rpartition(".")
            if place in parts:
                setattr(parts[place], key, value)

    return apply
