"""Options that say how an update is run, not what it computes; they are never taken from a saved state."""

from collections.abc import Mapping
from typing import Any

HINTS = {"foreach": None, "capturable": False, "differentiable": False, "fused": None, "compile": False}


def check_hints(options: Mapping[str, Any]) -> None:
    """Refuse torch's ways to run an optimizer that do not exist here.

    Raises:
        ValueError: with what to write instead.
    """
    for name in ("foreach", "capturable", "differentiable"):
        if options.get(name):
            raise ValueError(
                f"got {name}={options[name]!r}; one kernel or rule runs each update here; leave {name} out, "
                "or try compile=True"
            )
    if options.get("fused") and options.get("compile"):
        raise ValueError("got fused=True and compile=True; choose one")
