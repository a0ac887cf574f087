"""The names by which schedules are read: kinds, recipes, operators, methods. What has no name here is refused."""

from collections.abc import Callable

from tapered.schedules import (
    basic,
    changes,
    cosines,
    decays,
    exponentials,
    linear_cosines,
    methods,
    operators,
    pieces,
    plateaus,
    recipes,
    units,
)
from tapered.schedules.base import Schedule
from tapered.schedules.controllers import Controller

KINDS: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        operators.constant,
        basic.hold,
        basic.linear,
        basic.warmup,
        basic.exponential_warmup,
        basic.cooldown,
        exponentials.exponential_decay,
        exponentials.natural_exp_decay,
        exponentials.inverse_time_decay,
        decays.polynomial_decay,
        decays.inverse_sqrt,
        decays.power_decay,
        decays.tanh_decay,
        cosines.cosine_decay,
        cosines.cosine_decay_restarts,
        linear_cosines.linear_cosine_decay,
        linear_cosines.noisy_linear_cosine_decay,
        pieces.piecewise_constant,
        pieces.piecewise_interpolate,
        pieces.cyclic,
    )
}
RECIPES: dict[str, Callable[..., Schedule]] = {
    recipe.__name__: recipe
    for recipe in (
        recipes.warmup_stable_decay,
        recipes.step_decay,
        recipes.multistep_decay,
        recipes.one_cycle,
        recipes.rex_decay,
        recipes.power,
        recipes.untuned_linear_warmup,
        recipes.untuned_exponential_warmup,
    )
}
CONTROLLERS: dict[str, type[Controller]] = {"plateau": plateaus.plateau, "greedy": plateaus.greedy}
FUNCTIONS = {"from_function", "cumulative_product"}
METHODS = (
    "then", "clamp", "delayed", "until", "repeat", "staircase", "cooldown", "stretched", "held", "times",
    "in_epochs", "in_samples", "in_tokens",
)  # fmt: skip
OPERATORS: dict[str, type[Schedule]] = {
    kind.__name__: kind
    for kind in (
        operators.scaled,
        operators.product,
        operators.added,
        methods.then,
        methods.clamp,
        methods.delayed,
        methods.until,
        methods.repeat,
        methods.staircase,
        methods.cooled,
        changes.stretched,
        changes.held,
        units.in_epochs,
        units.in_samples,
        units.in_tokens,
    )
}
