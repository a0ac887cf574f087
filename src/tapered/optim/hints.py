"""Options that say how an update is run, not what it computes; they are never taken from a saved state."""

from collections.abc import Mapping
from typing import Any

HINTS = {
    "foreach": None,
    "capturable": False,
    "differentiable": False,
    "fused": None,
    "compile": False,
    "multiplier": "lr_scale",
}


def check_hints(options: Mapping[str, Any], where: str = "") -> None:
    """Refuse torch's ways to run an optimizer that do not exist here.

    Raises:
        ValueError, TypeError: with what to write instead.
    """
    for name in ("foreach", "capturable", "differentiable"):
        if options.get(name):
            raise ValueError(
                f"got {name}={options[name]!r}{where}; one kernel or rule runs each update here; leave {name} out, "
                "or try compile=True"
            )
    if options.get("fused") and options.get("compile"):
        raise ValueError(f"got fused=True and compile=True{where}; choose one")
    multiplier = options.get("multiplier")
    if multiplier is not None and not isinstance(multiplier, str):
        raise TypeError(
            f"got multiplier={multiplier!r}{where}; expected the group key that multiplies a scheduled rate, or None; "
            "try multiplier='lr_scale'"
        )
