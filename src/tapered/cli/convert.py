"""`tapered convert`: a schedule from another framework, or back to one."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter
from rich.text import Text

from tapered.cli.terminal import DONE, Flag, Json, console, print_json, write

if TYPE_CHECKING:
    from tapered.convert import Conversion
    from tapered.schedules import Schedule

Framework = Literal["torch", "transformers", "keras", "optax", "timm", "tapered"]
Target = Literal["text", "keras", "optax", "lambdalr"]
IMPORTS = {
    "optax": ("from tapered import parse", "from tapered.convert import to_optax"),
    "lambdalr": ("from tapered import parse", "from tapered.convert import to_lambda"),
}


def convert(
    framework: Framework,
    source: str,
    /,
    *,
    lr: Annotated[list[float] | None, Parameter(consume_multiple=True, negative="")] = None,
    warmup: int | None = None,
    steps: int | None = None,
    exact: Flag = False,
    to: Target = "text",
    json: Json = False,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Write another framework's schedule as one of tapered's, and say where the other's curve is odd.

    The schedule goes to stdout, the notes to stderr.

    Args:
        framework: Whose it is; "tapered" to convert a schedule's own text to something else.
        source: A call, "CosineAnnealingLR(T_max=100)"; a name that transformers or timm has; for keras, a config as a
            file or as JSON. Nothing in it is run.
        lr: The base rate, or one for each parameter group (torch, transformers, timm); for --to lambdalr the
            optimizer's, 1 unless given.
        warmup: num_warmup_steps of transformers.
        steps: num_training_steps of transformers; the length of the table for --to optax.
        exact: Keep the framework's own curve where it departs from what it documents, as past its end.
        to: A schedule's text, a Keras config, or lines of Python for optax or LambdaLR.
        json: Print one JSON object: schedules, horizons, controllers (what follows a loss), notes, what --to gives.
        debug: Show a traceback when something fails.
    """
    _refuse_unused(framework, to, lr=lr, warmup=warmup, steps=steps)
    found = _read(framework, source, lr, {"num_warmup_steps": warmup, "num_training_steps": steps}, exact=exact)
    texts = [_text(schedule) for schedule in found.schedules]
    rules = [str(controller) for controller in found.controllers]
    if rules and to != "text":
        raise ValueError(f"got --to {to} with {rules[0]}: {found.controllers[0].why_no_table()}; leave --to out")
    converted = [*rules, *(_target(to, s, _base(lr, group), steps) for group, s in enumerate(found.schedules))]
    if json:
        horizons = [schedule.horizon for schedule in found.schedules]
        fields = {
            "schedules": texts,
            "horizons": horizons,
            "controllers": rules,
            "notes": list(found.notes),
            "to": to,
            "converted": converted,
        }
        print_json(fields)
        return DONE
    for line in IMPORTS.get(to, ()):
        write(line)
    for item in converted:
        write(item if isinstance(item, str) else _json(item))
    screen = console(stderr=True)
    for note in found.notes:
        screen.print(Text(f"note: {note}"))
    return DONE


def _refuse_unused(framework: Framework, to: Target, **given: object) -> None:
    """An option that would change nothing is a mistake."""
    used = {
        "lr": framework in ("torch", "transformers", "timm") or to == "lambdalr",
        "warmup": framework == "transformers",
        "steps": framework == "transformers" or to == "optax",
    }
    for option, value in given.items():
        if value is not None and not used[option]:
            raise ValueError(f"--{option} has no part in converting {framework} to {to}; leave it out")


def _read(
    framework: Framework, source: str, lr: list[float] | None, asked: dict[str, int | None], *, exact: bool
) -> "Conversion":
    from tapered import convert as other  # noqa: PLC0415 - a wrong word does not wait for torch
    from tapered import schedules  # noqa: PLC0415 - as above

    match framework:
        case "torch":
            return other.from_torch(source, lr=lr, exact=exact)
        case "timm":
            return other.from_timm(source, lr=lr, exact=exact)
        case "optax":
            return other.from_optax(source, exact=exact)
        case "keras":
            held = source if source.lstrip().startswith(("{", "[")) else _file(source)
            return other.from_keras(held, exact=exact)
        case "transformers":
            return _transformers(source, lr, asked, exact=exact)
    return other.Conversion((schedules.parse(source),))


def _transformers(source: str, lr: list[float] | None, asked: dict[str, int | None], *, exact: bool) -> "Conversion":
    from tapered.convert import from_transformers  # noqa: PLC0415 - as above
    from tapered.convert.calls import Call, read_call  # noqa: PLC0415 - as above

    call = read_call(source) if "(" in source else Call(source)
    if call.args:
        raise ValueError(f'{call.name}: give its arguments by name, for example "{call.name}(num_cycles=2)"')
    given = {name: value for name, value in asked.items() if value is not None} | dict(call.kwargs)
    return from_transformers(call.name, lr=lr, exact=exact, **given)


def _file(name: str) -> str:
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"no file {name!r:.80}; give a Keras config as a file or as JSON")
    return path.read_text()


def _base(lr: list[float] | None, group: int) -> float:
    return 1.0 if not lr else lr[min(group, len(lr) - 1)]


def _text(schedule: "Schedule") -> str:
    if not schedule.serialisable:
        raise ValueError(f"{schedule} holds Python code, which no text can carry; convert it in Python")
    return str(schedule)


def _target(to: Target, schedule: "Schedule", lr: float, steps: int | None) -> object:
    from tapered.convert import to_keras  # noqa: PLC0415 - as above

    held = repr(str(schedule))
    match to:
        case "keras":
            return to_keras(schedule)
        case "optax":
            length = "" if steps is None else f", steps={steps}"
            return f"to_optax(parse({held}){length})"
        case "lambdalr":
            return f"to_lambda(parse({held}), lr={lr})"
    return str(schedule)


def _json(value: object) -> str:
    return json.dumps(value, indent=2, allow_nan=False)
