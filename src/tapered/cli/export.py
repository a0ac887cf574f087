"""`tapered export`: what a study found best, as lines of code for a framework."""

from pathlib import Path
from typing import Any, Literal

from rich.text import Text

from tapered.cli.terminal import DONE, Flag, Json, console, print_json, write
from tapered.words import suggest

To = Literal["tapered", "torch", "transformers", "lightning", "keras", "optax"]


def export(
    folder: Path,
    /,
    *,
    to: To = "tapered",
    arm: str | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Write the winning arm of a finished study as code: its schedule at its best peak, its optimizer.

    The code goes to stdout; which arm it is, and what the code leaves out, to stderr.

    Args:
        folder: The study's folder.
        to: For which framework.
        arm: Another arm than the winner: the best that beats what it is compared with, else the baseline.
        as_json: Print one JSON object: the arm, its schedule, its hypers, the code.
        debug: Show a traceback when something fails.
    """
    from tapered.convert.average_code import averaging  # noqa: PLC0415 - seconds, which --help need not wait for
    from tapered.study.summary.kept import kept  # noqa: PLC0415 - as above
    from tapered.training.averages import Average  # noqa: PLC0415 - as above

    fields = kept(folder).summary
    chosen = arm_of(fields, arm)
    lines, notes = _code(chosen, to), [*fields["recipe"]]
    stated = Average.read(chosen["averaged"]) if chosen.get("averaged") else Average("none")
    average = {} if stated.kind == "none" else stated.given
    if average and chosen["rule"] and to in ("tapered", "torch", "transformers", "lightning"):
        lines = averaging(lines, average)
    elif chosen["average"] not in (None, "none"):
        notes.append(f"evaluated at an average: {chosen['average']}")
    lost = _lost(chosen)
    if as_json:
        named = {name: chosen[name] for name in ("name", "rule", "options", "hypers", "schedule", "best_peak")}
        print_json({**named, "average": average or None, "to": to, "code": lines, "notes": notes, "diverged": lost})
        return DONE
    best = "the best that beats another" if fields["winner"] != fields["baseline"] else "the baseline"
    screen = console(stderr=True)
    screen.print(Text(f"{chosen['name']} ({'as asked' if arm else best}): {chosen['schedule']}"), soft_wrap=True)
    if lost:
        screen.print(Text(f"note: {lost}"), soft_wrap=True)
    for line in lines:
        write(line)
    for note in notes:
        screen.print(Text(f"note: the study's runs had {note}, which the code leaves to you"), soft_wrap=True)
    return DONE


def _code(chosen: dict[str, Any], to: To) -> list[str]:
    """An arm as lines of code; refused where no code, or none of this framework's, trains as its runs did."""
    from tapered.convert.code import code  # noqa: PLC0415 - as above
    from tapered.convert.following_code import Told  # noqa: PLC0415 - as above
    from tapered.study.file.texts import SHAPE  # noqa: PLC0415 - as above

    if chosen["schedule"] is None:
        raise ValueError(f"arm {chosen['name']!r} has a schedule that no text can carry")
    observes = chosen.get("observes") or {}
    if observes.get("every") and to not in ("tapered", "torch"):
        raise ValueError(
            f"arm {chosen['name']!r} follows {observes['text']}, and {to} tells its evaluations; try --to torch"
        )
    for name, value in chosen["hypers"].items():
        if observes and isinstance(value, str) and SHAPE.search(value):
            raise ValueError(
                f"{name} = {value!r} of arm {chosen['name']!r} follows a rate that follows its runs, which it does "
                f"in studies alone; no code says that"
            )
    told = [Told(observes["text"], observes["metric"].rpartition("/")[2])] if observes else []
    return code(to, chosen["rule"] or None, chosen["options"], chosen["hypers"], chosen["schedule"], *told)


def _lost(chosen: dict[str, Any]) -> str | None:
    """What is to be known of runs at an arm's best peak that diverged, in a sentence; None where none did."""
    at = [found for found in chosen["peaks"] if found["peak"] == chosen["best_peak"]]
    seen = [*at, *([chosen["fresh"]] if chosen["fresh"] else [])]
    if seen and all(found["mean"] is None for found in seen):
        return "no run of it at this peak ended well, so that nothing speaks for it"
    lost = sum(found["diverged"] for found in seen)
    return f"{lost} of its runs at this peak diverged" if lost else None


def arm_of(fields: dict[str, Any], name: str | None) -> dict[str, Any]:
    """An arm of a result, the winner where none is named."""
    known = {found["name"]: found for found in fields["arms"]}
    name = fields["winner"] if name is None else name
    if name not in known:
        raise ValueError(f"the study has no arm {name!r}; {suggest(name, known)}")
    return dict(known[name])
