"""`tapered recommend`: a schedule to start from, who says so, what was measured, and the study that would settle it."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from tapered.cli.terminal import DONE, Flag, Json, console, print_json, table


def recommend(
    *,
    purpose: Annotated[str | None, Parameter(name="--for")] = None,
    steps: int | None = None,
    workload: str | None = None,
    write: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Show a schedule to start from, with its source, what tapered's studies found, and its worst case by theory.

    It is where to begin, and no answer: --write makes the study that gives one on your model.

    Args:
        purpose: finetune, pretrain, vision, small-data, budget or unknown-length; without it they are listed.
        steps: Updates of your run.
        workload: What the study is to train, as mine.py:problem; a built-in one stands there otherwise.
        write: Also write that study to this file, which must not be there yet.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered.claims.advice import advice  # noqa: PLC0415 - seconds, which --help need not wait for
    from tapered.claims.advice import table as known  # noqa: PLC0415 - as above

    if purpose is None:
        if steps is not None or write is not None or workload is not None:
            raise ValueError(f"got no --for; expected one of {', '.join(known())}; tapered recommend alone lists them")
        _listed(known(), as_json=as_json)
        return DONE
    given = advice(purpose)
    if steps is None:
        raise ValueError(f"got --for {purpose} without the number of steps; try --for {purpose} --steps 10000")
    if workload is not None and write is None:
        raise ValueError(f"got --workload {workload} without --write; it stands in the study; try --write mine.toml")
    found = _found(given, steps)
    if write is not None:
        _write(write, given.study(steps, workload))
    if as_json:
        print_json({**found, "written": write and str(write)})
    else:
        _shown(found, write)
    return DONE


def _listed(known: Any, *, as_json: bool) -> None:
    if as_json:
        print_json({"purposes": {name: each.title for name, each in known.items()}})
        return
    out = console(stderr=False)
    out.print(table([("--for", "", ""), *((name, each.title, each.words) for name, each in known.items())], words=True))
    out.print(Text("With --steps N: the schedule, its peaks, its sources, what was measured."))


def _found(given: Any, steps: int) -> dict[str, Any]:
    return {
        "for": given.purpose,
        "title": given.title,
        "steps": steps,
        "rule": given.rule,
        "weight_decay": given.weight_decay,
        "schedule": str(given.shape(steps)),
        "words": given.words,
        "peaks": list(given.peaks),
        "peak": given.peak,
        "horizon": given.horizon,
        "worst_case": given.ratio(steps),
        "code": given.code(steps),
        "sources": [vars(source) for source in given.sources],
        "measured": [{"claim": each.claim, "says": each.told()} for each in given.measured],
    }


def _write(path: Path, text: str) -> None:
    if path.suffix != ".toml":
        raise ValueError(
            f"got --write {path}; expected a study file, which ends in .toml; try --write {path.stem}.toml"
        )
    try:
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ValueError(f"got --write {path}, which is there already; nothing was written; try another name") from None


def _shown(found: dict[str, Any], written: Path | None) -> None:
    out = console(stderr=False)
    low, high = found["peaks"]
    rows = [
        ("schedule", found["words"]),
        ("", found["schedule"]),
        ("optimizer", f"{found['rule']}, weight decay {found['weight_decay']:g}"),
        ("peak", f"from {low:g} to {high:g}"),
        ("horizon", found["horizon"]),
        ("worst case", f"{found['worst_case']:.3f} times the least of all schedules (tapered bound)"),
    ]
    out.print(Text(f"For {found['title']}, over {found['steps']:,} steps:"))
    out.print(table(rows, header=False, words=True))
    out.print(Text(found["code"]), soft_wrap=True)
    out.print()
    out.print(Text("Who says so:"))
    for source in found["sources"]:
        out.print(Text(f"- {source['name']}: {source['says']}. {source['link']}"))
    out.print()
    out.print(Text("What tapered measured, on small problems (tapered claims):"))
    for each in found["measured"]:
        out.print(Text(f"- {each['claim']}: {each['says']}"))
    again = f"tapered recommend --for {found['for']} --steps {found['steps']} --write mine.toml"
    settle = f"tapered study {written}" if written else again
    out.print()
    out.print(Text(f"It is where to start. What settles it on your model: {settle}"))
