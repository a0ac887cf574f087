"""How public things are called: signatures that can be read, and an error for a required number that is left out.

mypy checks this file, too: each call that must be an error says so, and an ignore that nothing needs is an error itself.
"""

# ruff: noqa: E501, PLW0108  # a call is what is tried, on its own line

import ast
import inspect
import pydoc
from collections.abc import Callable
from dataclasses import fields

import pytest
import torch

import tapered
from tapered import schedules, tensorflow1
from tapered.schedules import Schedule, names

RIGHT: list[tuple[Schedule, Schedule]] = [
    (schedules.constant(0.1), schedules.constant(value=0.1)),
    (schedules.hold(4), schedules.hold(steps=4, value=1)),
    (schedules.linear(0.1, 0.0, 10), schedules.linear(0.1, steps=10)),
    (schedules.warmup(4, 0.5), schedules.warmup(steps=4, start=0.5)),
    (schedules.exponential_warmup(4), schedules.exponential_warmup(period=4)),
    (schedules.cooldown(4, "cosine"), schedules.cooldown(steps=4, shape="cosine")),
    (schedules.cosine_decay(0.1, 10), schedules.cosine_decay(decay_steps=10, initial=0.1)),
    (schedules.cosine_decay_restarts(0.1, 10), schedules.cosine_decay_restarts(0.1, first_decay_steps=10)),
    (schedules.exponential_decay(0.15, 1, 0.9), schedules.exponential_decay(0.15, decay_steps=1, decay_rate=0.9)),
    (schedules.exponential_decay(0.15, half_life=7), schedules.exponential_decay(0.15, 7, 0.5)),
    (schedules.natural_exp_decay(0.1, 10, 0.5), schedules.natural_exp_decay(0.1, decay_steps=10, decay_rate=0.5)),
    (schedules.inverse_time_decay(0.1, 10, 0.5), schedules.inverse_time_decay(0.1, decay_steps=10, decay_rate=0.5)),
    (schedules.polynomial_decay(0.1, 10), schedules.polynomial_decay(0.1, decay_steps=10, end=1e-4)),
    (schedules.power_decay(0.1, -0.5), schedules.power_decay(0.1, exponent=-0.5)),
    (schedules.tanh_decay(0.1, 10), schedules.tanh_decay(0.1, decay_steps=10)),
    (schedules.linear_cosine_decay(0.1, 10), schedules.linear_cosine_decay(0.1, decay_steps=10)),
    (schedules.noisy_linear_cosine_decay(0.1, 10), schedules.noisy_linear_cosine_decay(0.1, decay_steps=10)),
    (schedules.piecewise_constant((1,), (1, 2)), schedules.piecewise_constant(boundaries=(1,), values=(1, 2))),
    (schedules.piecewise_interpolate((1,), (1, 2)), schedules.piecewise_interpolate(boundaries=(1,), values=(1, 2))),
]
WRONG: dict[str, Callable[[], object]] = {
    "constant needs value": lambda: schedules.constant(),  # type: ignore[call-arg]
    "hold needs steps": lambda: schedules.hold(),  # type: ignore[call-arg]
    "linear needs steps": lambda: schedules.linear(1e-3),  # type: ignore[call-overload]
    "warmup needs steps": lambda: schedules.warmup(start=0.5),  # type: ignore[call-arg]
    "exponential_warmup needs period": lambda: schedules.exponential_warmup(),  # type: ignore[call-arg]
    "cooldown needs steps": lambda: schedules.cooldown(shape="cosine"),  # type: ignore[call-arg]
    "cosine_decay needs decay_steps": lambda: schedules.cosine_decay(1e-3),  # type: ignore[call-overload]
    "cosine_decay_restarts needs first_decay_steps": lambda: schedules.cosine_decay_restarts(),  # type: ignore[call-overload]
    "exponential_decay needs decay_rate": lambda: schedules.exponential_decay(0.1, 1),  # type: ignore[call-overload]
    "exponential_decay needs decay_steps": lambda: schedules.exponential_decay(decay_rate=0.9),  # type: ignore[call-overload]
    "natural_exp_decay needs decay_steps": lambda: schedules.natural_exp_decay(0.1),  # type: ignore[call-overload]
    "inverse_time_decay needs decay_rate": lambda: schedules.inverse_time_decay(0.1, 1),  # type: ignore[call-overload]
    "polynomial_decay needs decay_steps": lambda: schedules.polynomial_decay(0.1),  # type: ignore[call-overload]
    "power_decay needs exponent": lambda: schedules.power_decay(0.1),  # type: ignore[call-overload]
    "tanh_decay needs decay_steps": lambda: schedules.tanh_decay(0.1),  # type: ignore[call-overload]
    "linear_cosine_decay needs decay_steps": lambda: schedules.linear_cosine_decay(0.1),  # type: ignore[call-overload]
    "noisy_linear_cosine_decay needs decay_steps": lambda: schedules.noisy_linear_cosine_decay(),  # type: ignore[call-overload]
    "piecewise_constant needs boundaries": lambda: schedules.piecewise_constant(values=(1, 2)),  # type: ignore[call-arg]
    "piecewise_interpolate needs values": lambda: schedules.piecewise_interpolate((1,)),  # type: ignore[call-arg]
    "from_function needs function": lambda: schedules.from_function(),  # type: ignore[call-arg]
    "cumulative_product needs function": lambda: schedules.cumulative_product(),  # type: ignore[call-arg]
}


@pytest.mark.parametrize(("first", "second"), RIGHT, ids=str)
def test_by_place_and_by_name(first: Schedule, second: Schedule) -> None:
    assert first == second


@pytest.mark.parametrize("said", WRONG)
def test_what_is_left_out_is_named(said: str) -> None:
    with pytest.raises(TypeError, match=rf"^{said}; write for example \w+\("):
        WRONG[said]()


def test_every_kind_with_something_required_is_tried() -> None:
    kinds = names.KINDS.items()
    needed = {name for name, kind in kinds if any(repr(field.default) == "required" for field in fields(kind))}
    assert needed | {"exponential_decay"} == {said.split()[0] for said in WRONG} - names.FUNCTIONS
    assert {type(first).__name__ for first, _ in RIGHT} == needed | {"exponential_decay"}


PUBLIC = {
    name: value
    for room in (schedules, tensorflow1)
    for name, value in vars(room).items()
    if callable(value) and not name.startswith("_") and getattr(value, "__module__", "").startswith("tapered")
} | {name: getattr(tapered, name) for name in tapered.__all__ if callable(getattr(tapered, name))}


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_a_signature_can_be_read(name: str) -> None:
    signature = inspect.signature(PUBLIC[name])
    assert not {word for word in ("Annotated", "Within", "required") if word in str(signature)}
    for parameter in signature.parameters.values():
        said = inspect.formatannotation(parameter.annotation)
        assert parameter.annotation is not parameter.empty, parameter
        assert len(said) <= 80 or parameter.name in LONG, (parameter.name, said)


# functions of a problem, whose arguments are worth being read, and choices
LONG = {"model", "loss", "metrics", "order", "weight", "objective", "predict", "collate", "splits", "shape", "match"}


def overloads(kind: type) -> list[ast.arguments]:
    """What type checkers read, written out since behind an optional argument Python has no place for another."""
    nodes = [node for node in ast.walk(ast.parse(inspect.getsource(kind))) if isinstance(node, ast.FunctionDef)]
    return [node.args for node in nodes if [*map(ast.unparse, node.decorator_list)] == ["overload"]]


WRITTEN = [kind for kind in names.KINDS.values() if overloads(kind)]


@pytest.mark.parametrize("kind", WRITTEN, ids=lambda kind: kind.__name__)
def test_what_type_checkers_read_is_what_is_called(kind: type[Schedule]) -> None:
    called, seen = inspect.signature(kind).parameters, set()
    for found in overloads(kind):
        given = [arg.arg for arg in (*found.args[1:], *found.kwonlyargs)]
        values = [*[None] * (len(found.args) - 1 - len(found.defaults)), *found.defaults, *found.kw_defaults]
        stated = {name: ast.literal_eval(value) for name, value in zip(given, values, strict=True) if value is not None}
        assert given == [name for name in called if name in given] or "half_life" in given
        assert stated == {name: called[name].default for name in stated}
        seen |= {*given}
    assert seen == {*called}


def test_help_is_readable() -> None:
    said = pydoc.plain(pydoc.render_doc(tapered.cosine_decay))
    call = "initial: float = 1.0, *, decay_steps: float, alpha: float = 0.0, end: float | None = None".replace(" ", "")
    flat = "".join(said.split())  # from Python 3.13 on a line an argument
    assert f"cosine_decay({call}" in flat
    assert f"__init__(self,{call}" in flat
    assert "Annotated" not in said


def test_a_required_number_has_no_default() -> None:
    given = inspect.signature(tapered.cosine_decay).parameters
    assert given["decay_steps"].default is inspect.Parameter.empty
    assert [given[name].annotation for name in ("initial", "decay_steps", "end")] == [float, float, float | None]
    assert str(inspect.signature(tapered.warmup)).startswith("(steps: int, start: float = 0.0, ramp: Literal[")


def test_fields_of_problems_are_shown_and_others_are_refused_by_name() -> None:
    for kind, fields_ in ((tapered.Workload, ("name", "model", "loss", "train")), (tapered.Recipe, ("clip_norm",))):
        given = inspect.signature(kind).parameters
        assert tuple(given)[: len(fields_)] == fields_
        assert not any(parameter.kind is parameter.VAR_KEYWORD for parameter in given.values())
    with pytest.raises(TypeError, match=r"'clipnorm' is no field of a Recipe; try \"clip_norm\""):
        tapered.Recipe(clipnorm=1.0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"'batchsize' is no field of a Workload; try \"batch_size\""):
        tapered.Workload(batchsize=32)  # type: ignore[call-arg]


def test_every_optimizer_takes_a_schedule_and_says_so() -> None:
    for name in ("Adam", "AdamW", "SGD", "Lion", "ScheduleFreeAdamW"):
        given = inspect.signature(getattr(tapered, name)).parameters
        assert (str(given["params"].annotation), str(given["lr"].annotation)) == ("Params", "Hyper")
    weight = torch.nn.Parameter(torch.ones(2))
    assert tapered.SGD([weight], lr=tapered.cosine_decay(0.1, 10)).param_groups[0]["lr"] == 0.1
    with pytest.raises(TypeError, match="learning_rate"):
        tensorflow1.GradientDescentOptimizer([weight])  # type: ignore[call-arg]
