"""What torch refuses or warns of is refused or warned of, at construction, at a step, and at loading."""

import warnings
from typing import Any

import torch
from torch import nn
from torch_templates.database import TABLE, Options
from torch_templates.judge import Side
from torch_templates.problems import slopes
from torch_templates.template import default_only, template


def tables(info: Any, device: str) -> dict[str, Options]:
    """The inputs of torch's table that are errors."""
    found = info.optim_error_inputs_func(device=device, dtype=torch.float32)
    return {f"{i}: {entry.optimizer_error_input.desc}": {"_entry": i} for i, entry in enumerate(found)}


@template(ways=("default",), given=tables)
def error_inputs(side: Side) -> None:
    """What torch's own table says is an error."""
    entries = side.info.optim_error_inputs_func(device=side.device, dtype=side.dtype)
    entry = entries[side.options.pop("_entry")]
    given, late = entry.optimizer_error_input, entry.error_on == TABLE.OptimizerErrorEnum.STEP_ERROR
    params = given.params if given.params is not None else [nn.Parameter(torch.ones(1, 1, dtype=side.dtype))]
    optimizer, warned = watched(lambda: side.kind(params, **given.kwargs))
    side.see("a warning", warned)
    if late:
        optimizer.step()


def watched(make: Any) -> tuple[Any, bool]:
    """What it makes, and whether it warned a user."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made = make()
    return made, any(issubclass(entry.category, UserWarning) for entry in caught)


BAD_PARAMS: dict[str, Any] = {
    "nothing": lambda _: [],
    "None": lambda _: None,
    "a module": lambda _: nn.Linear(1, 1),
    "a set": lambda p: {p},
    "a tensor": lambda p: p,
    "numbers": lambda _: [1.0, 2.0],
    "computed": lambda p: [p * 2],
    "whole numbers": lambda _: [torch.ones(3, dtype=torch.int64)],
    "sparse": lambda _: [torch.eye(3).to_sparse()],
    "no params in a group": lambda _: [{"lr": 0.1}],
    "a set in a group": lambda p: [{"params": {p}}],
    "a generator used up": lambda _: iter(()),
    "twice in a group": lambda p: [p, p],
    "in two groups": lambda p: [{"params": [p]}, {"params": [p]}],
    "in two groups by name": lambda p: [{"params": [("a", p)]}, {"params": [("b", p)]}],
    "one name twice": lambda p: [("a", p), ("a", nn.Parameter(torch.ones(1)))],
    "named and not": lambda p: [("a", p), nn.Parameter(torch.ones(1))],
    "groups named and not": lambda p: [{"params": [("a", p)]}, {"params": [nn.Parameter(torch.ones(1))]}],
    "a group of one tensor": lambda p: [{"params": p}],
    "a dict": lambda p: {"a": p},
    "a tuple of groups": lambda p: ({"params": [p]},),
}


@template(ways=("default",), given=default_only, variants={name: {"bad": name} for name in BAD_PARAMS})
def odd_params(side: Side, *, bad: str) -> None:
    """Parameters that torch refuses, warns of, or takes."""
    made = nn.Parameter(torch.ones(3, dtype=side.dtype, device=side.device))
    optimizer, warned = watched(lambda: side.make(BAD_PARAMS[bad](made)))
    side.see("a warning", warned)
    side.see("groups", [len(group["params"]) for group in optimizer.param_groups])
    optimizer.step()


BAD_OPTIONS: dict[str, Options] = {
    "lr": {"lr": -0.1},
    "lr nan": {"lr": torch.nan},
    "lr inf": {"lr": torch.inf},
    "lr text": {"lr": "0.1"},
    "lr of two": {"lr": torch.tensor([0.1, 0.2])},
    "eps": {"eps": -1.0},
    "eps 0": {"eps": 0.0},
    "betas": {"betas": (0.9, 1.0)},
    "betas of one": {"betas": (0.9,)},
    "weight_decay": {"weight_decay": -0.1},
    "momentum": {"momentum": -0.1},
    "nesterov without momentum": {"nesterov": True},
    "nesterov with dampening": {"nesterov": True, "momentum": 0.9, "dampening": 0.1},
    "alpha": {"alpha": -0.1},
    "rho": {"rho": 1.5},
    "lr_decay": {"lr_decay": -0.1},
    "momentum_decay": {"momentum_decay": -0.1},
    "initial_accumulator_value": {"initial_accumulator_value": -0.1},
    "fused and foreach": {"fused": True, "foreach": True},
    "fused and differentiable": {"fused": True, "differentiable": True},
    "unknown": {"learning_rate": 0.1},
}


def bad_options(info: Any, _device: str) -> dict[str, Options]:
    known = {**info.optim_cls([torch.ones(1)]).param_groups[0], "learning_rate": None}
    return {label: {**options} for label, options in BAD_OPTIONS.items() if options.keys() <= known.keys()}


@template(ways=("default",), given=bad_options, variants={"arguments": {"group": False}, "a group": {"group": True}})
def odd_options(side: Side, *, group: bool) -> None:
    """Values that torch refuses, as arguments and in a group, where torch looks at few of them."""
    made = nn.Parameter(torch.ones(3, dtype=side.dtype, device=side.device))
    optimizer = side.kind([{"params": [made], **side.options}]) if group else side.make([made])
    slopes([made], 0)
    optimizer.step()
    side.see("weights", made)


@template(ways=("default",), given=default_only)
def late_groups_refused(side: Side) -> None:
    """A group that cannot join leaves the optimizer as it was."""
    first, second = (nn.Parameter(torch.ones(3, dtype=side.dtype, device=side.device)) for _ in range(2))
    optimizer = side.make([first])
    for bad in ({"params": [first]}, {"params": {second}}, {"params": ["a"]}, {"lr": 0.1}, [second]):
        try:
            optimizer.add_param_group(bad)
        except (TypeError, ValueError, KeyError) as error:
            side.see("refused", isinstance(error, Exception))
        side.see("groups", [len(group["params"]) for group in optimizer.param_groups])
    slopes([first], 0)
    optimizer.step()
    side.see("weights", first)


@template(ways=("default",), given=default_only)
def loads_refused(side: Side) -> None:
    """States that do not fit are refused, and the optimizer goes on as it was."""
    params = [nn.Parameter(torch.ones(3, dtype=side.dtype, device=side.device)) for _ in range(2)]
    optimizer = side.make(params)
    slopes(params, 0)
    optimizer.step()
    for other in (side.make(params[:1]), side.make([{"params": [param]} for param in params])):
        with side.attempt("load"):
            optimizer.load_state_dict(other.state_dict())
    slopes(params, 1)
    optimizer.step()
    side.see("weights", params)
