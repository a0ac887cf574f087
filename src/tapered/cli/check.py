"""`tapered check`: verify every checkpoint of a run."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.terminal import DONE, REFUSED, Flag, Json, console, print_json, table
from tapered.words import plain


def check(
    folder: Path,
    /,
    *,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Verify every checkpoint in a folder; show steps, rates, schedules, lineage. Exit code 3 if one is not whole.

    Args:
        folder: The run's folder.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.checkpoint import describe  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.run.single import rates_of  # noqa: PLC0415

    found = describe(folder)
    whole = not any(one.damage for one in found)
    shown = [rates_of(one) for one in found]
    if as_json:
        keys = ("name", "step", "damage", "foreign", "finite", "metric", "size")
        checkpoints = [
            {**{key: getattr(one, key) for key in keys}, "rates": rates, "schedules": schedules,
             "lineage": [asdict(origin) for origin in one.lineage], "kinds": list(one.kinds)}
            for one, (rates, schedules) in zip(found, shown, strict=True)
        ]  # fmt: skip
        print_json({"folder": str(folder), "whole": whole, "checkpoints": checkpoints})
    else:
        _show(found, shown)
    return DONE if whole else REFUSED


def state_of(one: Any) -> str:
    """A checkpoint's state in a word or two."""
    if one.foreign:
        return "another format"
    return "damaged" if one.damage else "whole" if one.finite else "not finite"


def _show(found: list[Any], shown: list[tuple[list[float], dict[str, str]]]) -> None:
    out = console(stderr=False)
    rows = [("checkpoint", "step", "rate", "metric", "bytes", "state")]
    for one, (rates, _) in zip(found, shown, strict=True):
        state = state_of(one)
        metric = "" if one.metric is None else plain(one.metric, 6)
        rate = ", ".join(plain(value) for value in dict.fromkeys(rates))
        rows.append((one.name, f"{one.step:,}", rate, metric, f"{one.size:,}" if one.size else "", state))
    out.print(table(rows))
    for one in found:
        if one.damage:
            out.print(Text(f"- {one.damage}" if one.foreign else f"- {one.name}: {one.damage}"))
    newest, (_, schedules) = next(
        ((one, facts) for one, facts in zip(found, shown, strict=True) if not one.damage), (found[0], ([], {}))
    )
    for name, text in schedules.items():
        out.print(Text(f"{name}: {text}"), soft_wrap=True)
    for text in newest.kinds if len(newest.kinds) > 1 else ():
        out.print(Text(f"trained on: {text}"), soft_wrap=True)
    for origin in newest.lineage:
        change = ", ".join(f"{name} {value}" for name, value in origin.change.items())
        out.print(Text(f"forked at step {origin.step} from {origin.folder}: {change}"), soft_wrap=True)
