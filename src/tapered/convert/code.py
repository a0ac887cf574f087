"""A schedule and its optimizer as lines of code for a framework: what a study found best, ready to use.

rule, options, hypers, schedule ─► code(to="torch", ...) ─► lines of Python
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from tapered import rules
from tapered.convert.following_code import Told, following, keras_callback
from tapered.convert.keras import to_keras
from tapered.convert.keras_out import number
from tapered.schedules import Controller, Schedule, parse_rate

To = Literal["tapered", "torch", "transformers", "lightning", "keras", "optax"]
LOSS = Told()
TARGETS: tuple[To, ...] = get_args(To)
# an option's value that every framework has, and what torch's optimizers and tapered's call another one
OPTIONS = {
    ("decay", "decoupled"): {"decoupled_weight_decay": True},
    ("amsgrad", True): {"amsgrad": True},
    ("nesterov", True): {"nesterov": True},
    ("centered", True): {"centered": True},
}
USUAL = {"decay": "l2", "amsgrad": False, "nesterov": False, "centered": False, "epsilon": "outside", "momentum": None}
DEFAULTS = {name: getattr(rules, name)().hypers for name in ("SGD", "Adam", "Lion")}
TORCHS = ("SGD", "Adam", "NAdam", "RAdam", "Adamax", "RMSprop", "Adagrad", "Adadelta")
# of the optimizers whose update is the rule's own: their names, and those of their hypers
ELSEWHERE: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "optax": (
        {"SGD": "sgd", "Adam": "adam", "AdamW": "adamw", "Lion": "lion"},
        {"beta1": "b1", "beta2": "b2", "eps": "eps", "momentum": "momentum", "weight_decay": "weight_decay"},
    ),
    "keras": (
        {"SGD": "SGD", "Adam": "Adam", "AdamW": "AdamW"},
        {
            "beta1": "beta_1",
            "beta2": "beta_2",
            "eps": "epsilon",
            "momentum": "momentum",
            "weight_decay": "weight_decay",
        },
    ),
}


def code(
    to: To,
    rule: str | None,
    options: Mapping[str, Any],
    hypers: Mapping[str, Any],
    schedule: str,
    told: Told = LOSS,
) -> list[str]:
    r"""Lines that train with a rule at a schedule in a framework; they run where `model` is what is trained.

    Args:
        to: The framework.
        rule: A rule's name, as a study file has it; None where the optimizer is somebody's own, `optimizer`.
        options: Its structural choices.
        hypers: Its other hypers: numbers, or texts of schedules.
        schedule: The rate, as text: a schedule, or a rule that follows a loss.
        told: What such a rule is told.

    Raises:
        ValueError: The framework has no such optimizer, none with such an option or a hyper that is a schedule, or no
            such rule that follows a loss; or a rule or hyper has no name that Python takes, as in a result that
            somebody forged.

    Example:
        >>> print("\n".join(code("tapered", "Adam", {}, {"beta1": 0.8}, "0.1 * warmup(9)")))
        from tapered import Adam, parse
        <BLANKLINE>
        optimizer = Adam(model.parameters(), lr=parse('0.1 * warmup(9)'), betas=(0.8, 0.999))
    """
    for name in (*hypers, *([] if rule is None else [rule])):  # which stand in the code as they are
        if not name.isidentifier():
            raise ValueError(f"got {name!r:.80} as the name of a rule or hyper; expected one as Adam or beta1")
    rate = parse_rate(schedule)
    if rule is None:
        return _alone(to, rate)
    if to in ("keras", "optax"):
        return _elsewhere(to, rule, options, hypers, rate, told)
    name, arguments = _torchs(to, rule, options, hypers)
    given = "".join(f", {key}={value}" for key, value in arguments.items())
    if isinstance(rate, Controller):
        theirs = to == "torch"
        head = ["import torch"] if theirs else [f"from tapered import {', '.join(_imported(name, given))}"]
        made = f"{'torch.optim.' * theirs}{name}({{}}.parameters(), lr={{}}{given})"
        return following(to, rate, made, head, told)
    return _scheduled(to, name, given, schedule)


def _scheduled(to: To, name: str, given: str, schedule: str) -> list[str]:
    """Of an optimizer of torch's or tapered's."""
    if to == "torch":
        return [
            "import torch",
            "from tapered import parse",
            "from tapered.attach import attach",
            "",
            f"optimizer = torch.optim.{name}(model.parameters(), lr=0.0{given})",
            f"clock = attach(optimizer, lr=parse({schedule!r}))  # no scheduler: each step has its rate",
        ]
    made = f"{name}({{}}.parameters(), lr=parse({schedule!r}){given})"
    head = [f"from tapered import {', '.join(_imported(name, 'parse('))}"]
    if to == "tapered":
        return [*head, "", f"optimizer = {made.format('model')}"]
    head.append("from tapered.attach import as_lr_scheduler")
    if to == "transformers":
        return [
            *head,
            "",
            f"optimizer = {made.format('model')}",
            "given = {'optimizers': (optimizer, as_lr_scheduler(optimizer))}  # Trainer(model, arguments, **given)",
        ]
    return [
        *head,
        "",
        "",
        "def configure_optimizers(self):  # of the LightningModule",
        f"    optimizer = {made.format('self')}",
        "    return [optimizer], [{'scheduler': as_lr_scheduler(optimizer), 'interval': 'step'}]",
    ]


def _imported(name: str, given: str) -> list[str]:
    """An optimizer, and `parse` where its arguments are read by it."""
    return sorted([name, *["parse"] * ("parse(" in given)], key=str.lower)


def _alone(to: To, rate: Schedule | Controller) -> list[str]:
    """The rate alone, for an optimizer that there is."""
    schedule = str(rate)
    if isinstance(rate, Controller):
        raise ValueError(f"got {rate} for an optimizer that nobody knows: {rate.why_no_table()}")  # noqa: TRY004  # a text
    if to == "keras":
        return ["import keras", "", f"schedule = {_keras_rate(rate)}"]
    if to == "optax":
        lines = ["from tapered import parse", "from tapered.convert import to_optax", ""]
        return [*lines, f"schedule = to_optax(parse({schedule!r}))"]
    return [
        "from tapered import parse",
        "from tapered.attach import attach",
        "",
        f"clock = attach(optimizer, lr=parse({schedule!r}))  # no scheduler: each step has its rate",
    ]


def _torchs(to: To, rule: str, options: Mapping[str, Any], hypers: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """The name of torch's optimizer, or of tapered's, and its arguments as code."""
    if to == "torch" and rule not in TORCHS:
        raise ValueError(f"torch has no optimizer for rule {rule!r}; try --to tapered")
    arguments: dict[str, Any] = {}
    for name, value in options.items():
        arguments |= _option(to, rule, name, value)
    decoupled = arguments.pop("decoupled_weight_decay", False)
    name = rule
    if decoupled and rule == "Adam":
        name = "AdamW"
        arguments["weight_decay"] = hypers.get("weight_decay", 0.0)
    elif decoupled:
        arguments["decoupled_weight_decay"] = True
    texts = {key: _value(to, key, value) for key, value in hypers.items()}
    if {"beta1", "beta2"} & texts.keys():
        betas = [texts.pop(key, default) for key, default in (("beta1", "0.9"), ("beta2", _second(rule)))]
        arguments["betas"] = f"({', '.join(betas)})"
    return name, {key: str(value) for key, value in (arguments | texts).items()}


def _second(rule: str) -> str:
    return "0.99" if rule == "Lion" else "0.999"


def _option(to: To, rule: str, name: str, value: Any) -> dict[str, Any]:
    if (name, value) in OPTIONS:
        return OPTIONS[name, value]
    if USUAL.get(name, ...) == value or (name == "momentum" and isinstance(value, bool)):
        return {}
    raise ValueError(
        f"{rule} with {name} = {value!r} has no counterpart in {to}; see tapered.tensorflow1, or tapered.rules"
    )


def _value(to: To, name: str, value: Any) -> str:
    if not isinstance(value, str):
        return repr(value)
    if to in ("tapered", "transformers", "lightning"):  # tapered's own optimizer
        return f"parse({value!r})"
    raise ValueError(
        f"{name} = {value!r} is a schedule, which only tapered's optimizers take as it is; try --to tapered"
    )


def _elsewhere(
    to: To, rule: str, options: Mapping[str, Any], hypers: Mapping[str, Any], rate: Schedule | Controller, told: Told
) -> list[str]:
    """Of a framework with defaults of its own, so that every number is said."""
    left, (known, names) = dict(options), ELSEWHERE[to]
    name = "AdamW" if rule == "Adam" and left.pop("decay", "l2") == "decoupled" else rule
    unlike = [f"{key} = {value!r}" for key, value in left.items() if USUAL.get(key, ...) != value and key != "momentum"]
    numbers = {key: value for key, value in {**DEFAULTS.get(rule, {}), **hypers}.items() if value or key == "eps"}
    unlike += [f"{key} = {value!r}" for key, value in numbers.items() if key not in names]
    if numbers.get("weight_decay") and name not in ("AdamW", "Lion"):
        unlike.append(f"weight_decay = {numbers['weight_decay']!r} in the gradient")
    if name not in known or unlike:
        lacking = f"{name}{' with ' if unlike else ''}{', '.join(unlike)}"
        raise ValueError(f"{to} has no counterpart of {lacking}; try --to tapered")
    if name == "AdamW":
        numbers.setdefault("weight_decay", 0.0)
    given = "".join(f", {names[key]}={_value(to, key, value)}" for key, value in numbers.items())
    if isinstance(rate, Controller):
        if to == "optax":
            raise ValueError(f"optax has no rule that decides as {rate}; try --to tapered, or torch")
        made = f"keras.optimizers.{known[name]}(learning_rate={rate.initial!r}{given})"
        follows = f"callback = {keras_callback(rate, told)}  # model.fit(..., callbacks=[callback])"
        return ["import keras", "", f"optimizer = {made}", follows]
    schedule = str(rate)
    if to == "optax":
        return [
            "import optax",
            "from tapered import parse",
            "from tapered.convert import to_optax",
            "",
            f"optimizer = optax.{known[name]}(to_optax(parse({schedule!r})){given})",
        ]
    return [
        "import keras",
        "",
        f"schedule = {_keras_rate(rate)}",
        f"optimizer = keras.optimizers.{known[name]}(learning_rate=schedule{given})",
    ]


def _keras_rate(rate: Schedule) -> str:
    plain = number(rate)
    return f"keras.optimizers.schedules.deserialize({to_keras(rate)!r})" if plain is None else repr(plain)
