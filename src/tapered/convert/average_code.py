"""An average of the weights as lines of code beside an optimizer's.

lines that make `optimizer`, the average's fields ─► averaging(lines, ...) ─► those lines, and one that keeps it
"""

from collections.abc import Mapping, Sequence
from typing import Any

IMPORT, MADE = "from tapered import ", "optimizer = "


def averaging(lines: Sequence[str], given: Mapping[str, Any]) -> list[str]:
    r"""Lines that keep an average of what the optimizer makes, and say how it is evaluated.

    Args:
        lines: What makes `optimizer`, one of torch's or tapered's.
        given: Its kind, and its other fields as `tapered.average` has them; shares as updates.

    Example:
        >>> lines = ["from tapered import SGD", "", "optimizer = SGD(model.parameters(), lr=0.1)"]
        >>> print("\n".join(averaging(lines, {"kind": "ema", "decay": 0.99})))
        from tapered import average, SGD
        <BLANKLINE>
        optimizer = SGD(model.parameters(), lr=0.1)
        averaged = average(optimizer, 'ema', decay=0.99, model=model)  # evaluate it: with averaged.readout():
    """
    fields = "".join(f", {name}={value!r}" for name, value in given.items() if name != "kind")
    batches = "batches" if given.get("batch_norm") == "recomputed" else ""
    at = next(i for i, line in enumerate(lines) if line.strip().startswith(MADE))
    indent = lines[at][: lines[at].index(MADE)]
    name, model = ("self.averaged", "self") if indent else ("averaged", "model")
    made = f"average(optimizer, {given['kind']!r}{fields}, model={model})"
    kept = f"{name} = {made}  # evaluate it: with {name}.readout({batches}):"
    return _importing([*lines[: at + 1], indent + kept, *lines[at + 1 :]])


def _importing(lines: list[str]) -> list[str]:
    for i, line in enumerate(lines):
        if line.startswith(IMPORT):
            names = [*line.removeprefix(IMPORT).split(", "), "average"]
            return [*lines[:i], IMPORT + ", ".join(sorted(names, key=str.lower)), *lines[i + 1 :]]
    first = lines.index("")
    return [*lines[:first], f"{IMPORT}average", *lines[first:]]
