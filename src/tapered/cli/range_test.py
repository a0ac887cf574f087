"""`tapered range-test`: losses over a log grid of rates, and what the literature's rules read from them."""

from pathlib import Path
from typing import Any

from rich.text import Text

from tapered.cli.explain import choices
from tapered.cli.progress import progress
from tapered.cli.run import options_of
from tapered.cli.terminal import (
    DONE,
    INTERRUPTED,
    Flag,
    Interrupt,
    Json,
    Words,
    console,
    drawn_width,
    print_json,
    table,
    write,
)
from tapered.words import plain

LINES, POINTS, RAMP_POINTS, HEIGHT = 12, 64, 128, 17


def range_test(
    workload: str,
    /,
    *,
    rule: str = "Adam",
    low: float = 1e-6,
    high: float = 10.0,
    points: int | None = None,
    steps: int = 20,
    ramp: Flag = False,
    seed: int = 0,
    hyper: Words = (),
    choice: Words = (),
    option: Words = (),
    out: Path | None = None,
    as_json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Try a log grid of rates for a few steps each, and show what the usual rules suggest.

    Args:
        workload: A built-in workload's name (bmi), or file.py:name of your own.
        rule: Adam, SGD, RMSprop, ...
        low: Lowest rate.
        high: Highest rate.
        points: Rates; by default 64, with --ramp 128.
        steps: Steps at each rate, all from the same weights.
        ramp: Instead one run whose rate rises at each step.
        seed: Of initial weights and minibatches.
        hyper: Another hyper, as momentum=0.9; a number; may be given again.
        choice: A choice of the rule, as momentum=true; may be given again.
        option: An argument of the workload, as name=value; may be given again.
        out: Also draw it to this .svg file.
        as_json: Print one JSON object.
        debug: Show a traceback when something fails.
    """
    from tapered import range_test as testing  # noqa: PLC0415 - torch takes a second that --help need not wait
    from tapered.pictures import destination  # noqa: PLC0415 - as above
    from tapered.study.file.typed import arm_of  # noqa: PLC0415
    from tapered.workloads.find import workload_of  # noqa: PLC0415

    if out is not None:
        destination(out)
    hypers = options_of(hyper, "hyper")
    texts = [name for name, value in hypers.items() if isinstance(value, str)]
    if texts:
        raise ValueError(f"got --hyper {texts[0]}={hypers[texts[0]]}; expected a number for these few steps")
    built = arm_of(rule, "1.0", choices(choice), hypers).build()
    made, _ = workload_of(workload, options_of(option))
    asked = {"low": low, "high": high, "seed": seed, **hypers}
    count = points or (RAMP_POINTS if ramp else POINTS)
    curve, mode = _tested(made, built, count, None if ramp else steps, asked)
    if curve is None:
        return INTERRUPTED
    title = ", ".join((workload, rule, *option, *choice, *hyper))
    if out is not None:
        testing.save(curve, out, title)
    if as_json:
        facts = {"workload": workload, "rule": str(built), "seed": seed, "mode": mode, "picture": out and str(out)}
        print_json({**facts, **testing.fields(curve)})
        return DONE
    _show(curve, mode, title)
    if out is not None:
        console(stderr=False).print(Text(f"Drawn: {out}"), soft_wrap=True)
    return DONE


def _tested(workload: Any, rule: Any, points: int, steps: int | None, asked: dict[str, Any]) -> tuple[Any, str]:
    """The curve and how it was trained; no curve where it was interrupted."""
    from tapered import range_test as testing  # noqa: PLC0415
    from tapered.training import modes  # noqa: PLC0415 - as above

    errors = console(stderr=True)
    testing.grid(asked["low"], asked["high"], points)
    with Interrupt(errors) as interrupt, progress(errors) as shown:
        task = shown.add_task("training", total=points * (steps or 1))

        def on_step(updates: int) -> bool:
            shown.advance(task, updates)
            return interrupt.asked

        if steps is None:
            curve, mode = testing.ramp(workload, rule, points=points, on_step=on_step, **asked), "one run"
        else:
            found = modes.choose(workload, rule, points, steps)
            curve = testing.range_test(workload, rule, points=points, steps=steps, mode=found, on_step=on_step, **asked)
            mode = f"{found.kind}: {found.reason}"
        return None if interrupt.asked else curve, mode


def _show(curve: Any, mode: str, title: str) -> None:
    """The curve, a table of some of its points, the suggestions and what to bear in mind."""
    from tapered import range_test as testing  # noqa: PLC0415 - as above

    out = console(stderr=False)
    out.print(Text(title, style="bold"))
    for line in testing.told(curve):
        out.print(Text(line))
    write(testing.terminal(curve, drawn_width(out), HEIGHT))
    places = sorted({round(i * (len(curve.rates) - 1) / (LINES - 1)) for i in range(LINES)})
    rows = [(plain(curve.rates[i], 3), plain(curve.losses[i], 5), plain(curve.smoothed[i], 5)) for i in places]
    averaged = curve.kind == "ramp"
    out.print(table([row if averaged else row[:2] for row in [("rate", "loss", "average"), *rows]]))
    begun = f"Loss before: {plain(curve.start, 5)}. " + (
        "One step at each rate, in one run." if averaged else f"{curve.steps} steps at each rate ({mode})."
    )
    out.print(Text(begun))
    out.print()
    found = [(one.name, "none" if one.rate is None else plain(one.rate, 3), one.source) for one in curve.suggestions]
    out.print(table([("suggestion", "rate", ""), *found]))
    if curve.disagreement is not None:
        out.print(Text(f"Largest suggestion over smallest: {plain(curve.disagreement, 3)}."))
    for warning in curve.warnings:
        out.print(Text(f"- {warning}"))
