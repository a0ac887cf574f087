"""Rules that follow a loss, of torch, Keras, Transformers and timm, to controllers in the state in which they stand."""

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from torch.optim.lr_scheduler import ReduceLROnPlateau

from tapered.convert.calls import Call, read_call
from tapered.convert.result import Conversion, rates
from tapered.schedules import Controller, greedy, linear, plateau

Kind = TypeVar("Kind", bound=Controller)
NAME, GREEDY, TIMM = "ReduceLROnPlateau", "GreedyLR", "PlateauLRScheduler"
KEYS = ("factor", "patience", "threshold", "threshold_mode", "cooldown", "eps", "mode")
GREEDY_KEYS = (*KEYS, "warmup", "smooth", "window_size")
EXAMPLE = '{"class_name": "ReduceLROnPlateau", "config": {"monitor": "val_loss", "patience": 5, "mode": "min"}}'
COUNTING = (
    "Keras's patience counts the value at which the rate falls, and its cooldown the first that counts again; kept: "
    "when it falls, so both are one less here, where they are above 0"
)
WARMUP = (
    "timm counts epochs in its warmup; kept: that, so one step of it is one epoch; "
    "found.controller.in_epochs(updates_per_epoch) counts updates"
)
RATE = "the config does not say the rate, so this one begins with 1; write rate * found.controller (min_lr is a rate)"


def torch_plateau(source: Any, lr: Any, name: str | None) -> Conversion | None:
    """torch's ReduceLROnPlateau, live, saved or as text, or None where the source is something else."""
    if isinstance(source, str):
        call = read_call(source)
        return _called(call, lr, ReduceLROnPlateau, plateau) if call.name == NAME else None
    if isinstance(source, Mapping):
        ours = name == NAME or (name is None and {"patience", "num_bad_epochs"} <= source.keys())
        return _stood(source, source.get("_last_lr"), lr) if ours else None
    return of_live(source, lr) if type(source) is ReduceLROnPlateau else None


def of_live(source: Any, lr: Any = None) -> Conversion:
    """A live ReduceLROnPlateau or GreedyLR."""
    return _stood(vars(source), [group["lr"] for group in source.optimizer.param_groups], lr)


def transformers_rule(name: str, lr: Any, given: Mapping[str, Any], warmup: int | None) -> Conversion:
    """get_scheduler's "reduce_lr_on_plateau" and "greedy", built anew."""
    call, takes, kind = (GREEDY, greedy_lr, greedy) if name == "greedy" else (NAME, ReduceLROnPlateau, plateau)
    found = _called(Call(call, (), given), lr, takes, kind)
    if not warmup:
        return found
    note = f"transformers' {name} passes over num_warmup_steps; kept: that; try warmup({warmup}).then(found.controller)"
    return Conversion((), (note,), controllers=found.controllers)


def transformers_live(source: Any, lr: Any) -> Conversion:
    """A live scheduler of Transformers that follows a loss, or the state of its GreedyLR.

    Raises:
        TypeError: something else.
    """
    if isinstance(source, Mapping) and "num_good_epochs" in source:
        return _stood(source, source.get("_last_lr"), lr)
    if type(source) is ReduceLROnPlateau or (type(source).__name__ == GREEDY and hasattr(source, "num_good_epochs")):
        return of_live(source, lr)
    raise TypeError(f"from_transformers takes a name, or a scheduler that follows a loss, got {source!r:.80}")


def keras_plateau(given: Any) -> Conversion | None:
    """Keras's callback as its class's name and arguments, or None where the source is something else.

    Raises:
        ValueError: a direction that nobody can tell, or arguments out of range.
        TypeError: arguments that it does not have.
    """
    if not isinstance(given, Mapping) or given.get("class_name") != NAME:
        return None
    config = given.get("config")
    if not isinstance(config, Mapping):
        raise ValueError(f"{NAME}'s config must be a mapping, got {config!r:.80}; write for example {EXAMPLE}")  # noqa: TRY004  # perhaps JSON
    named = {key: value for key, value in config.items() if key != "name"}
    asked = Call(NAME, (), named).bound(inspect.signature(keras_reduce))
    mode, monitor = asked["mode"], str(asked["monitor"])
    notes = [COUNTING, RATE]
    if mode not in ("min", "max"):
        mode = "max" if "acc" in monitor else "min"
        notes.append(f'Keras tells the direction of {monitor!r} by its name, or by the metric; kept: mode="{mode}"')
    patience, cooldown = (max(_whole(key, asked[key]) - 1, 0) for key in ("patience", "cooldown"))
    made = plateau(
        factor=asked["factor"], patience=patience, threshold=asked["min_delta"], threshold_mode="abs",
        cooldown=cooldown, min_lr=asked["min_lr"], eps=0.0, mode=mode,
    )  # fmt: skip
    return Conversion((), tuple(notes), controllers=(made,))


def timm_plateau(source: Any, lr: Any, call: Call) -> Conversion:
    """timm's PlateauLRScheduler, of its arguments, or live: then in its state, and past its warmup once it was told."""
    said = []
    if call.kwargs.get("noise_range_t") is not None:
        said.append("timm adds noise, another draw at each epoch; kept: the rates without it")
    heard = {key: value for key, value in call.kwargs.items() if not key.startswith("noise") and key != "t_in_epochs"}
    given = Call(TIMM, call.args, heard).bound(inspect.signature(timm_lr))
    live = getattr(source, "lr_scheduler", None)
    bases = rates(lr, 'from_timm("plateau", lr=0.1)')
    if live is not None:
        told = live.last_epoch > 0
        clean = (source.restore_lr or [group["lr"] for group in source.optimizer.param_groups]) if told else bases
        if any(group.get("lr_scale", 1.0) != 1.0 for group in source.optimizer.param_groups):
            said.append("the rates have each group's lr_scale in them; attach these with multiplier=None")
        rules = _stood(vars(live), clean, None).controllers
    else:
        told, rules = False, tuple(_timm(base, given) for base in bases)
    if not given["warmup_t"] or told:
        return Conversion((), tuple(said), controllers=rules)
    said.append(WARMUP)
    ramps = [linear(given["warmup_lr_init"], rule.initial, given["warmup_t"]) for rule in rules]
    return Conversion((), tuple(said), controllers=tuple(map(linear.then, ramps, rules)))


def _timm(base: float, given: Mapping[str, Any]) -> Controller:
    return plateau(
        base, factor=given["decay_rate"], patience=given["patience_t"], threshold=given["threshold"],
        cooldown=given["cooldown_t"], min_lr=given["lr_min"], mode=given["mode"],
    )  # fmt: skip


def _called(call: Call, lr: Any, takes: Any, kind: type[Kind]) -> Conversion:
    """A rule as its constructor's call makes it, one for each rate."""
    parameters = dict(inspect.signature(takes).parameters)
    parameters.pop("optimizer", None)
    given = call.bound(inspect.Signature(list(parameters.values())))
    given.pop("verbose", None)
    if lr is None:
        raise ValueError(f"{call.name} as text has no base rate; give lr, for example lr=0.1")
    bases = rates(lr, "lr=0.1")
    made = [_made(kind, base, given).path(index).controller for index, base in enumerate(bases)]
    return Conversion((), controllers=tuple(made))


def _made(kind: type[Kind], base: float, given: Mapping[str, Any]) -> Kind:
    try:
        return kind(base, **given)
    except TypeError as error:
        raise TypeError(str(error)) from None


def _stood(found: Mapping[str, Any], shown: Sequence[Any] | None, lr: Any) -> Conversion:
    """One that has been told values: for each group the rule with its own floor, in its state.

    Raises:
        ValueError: a state without rates, and none given; or one that is damaged.
    """
    if lr is None and not shown:
        raise ValueError(
            "the state does not say the rates in force; give lr, for example lr=0.1, or one for each group"
        )
    now = rates([float(rate) for rate in shown] if lr is None and shown is not None else lr, "lr=0.1")
    raises = "num_good_epochs" in found
    try:
        keys = {key: found[key] for key in (GREEDY_KEYS if raises else KEYS)}
        memory = {"best": _best(found), "bad": found["num_bad_epochs"], "cooling": found["cooldown_counter"]}
        floors, tops = list(found["min_lrs"]), list(found["max_lrs"]) if raises else []
        if raises:
            keys["reset_start"] = found["reset_start_original"]
            memory |= _greedy_memory(found)
    except KeyError as error:
        raise ValueError(f"the state has no {error}; is it another class's?") from None
    first = [float(rate) for rate in found["_init_lrs"]] if raises else now
    made: list[Controller] = []
    for group, rate in enumerate(now):
        own = {"min_lr": floors[group] if group < len(floors) else _shared(floors, group)}
        if raises:
            own["max_lr"] = tops[group] if group < len(tops) else _shared(tops, group)
        kind: Any = greedy if raises else plateau
        base = first[group] if group < len(first) else rate
        made.append(kind(base, **keys, **own).in_state(**memory, rate=None if rate == base else rate))
    return Conversion((), controllers=tuple(made))


def _greedy_memory(found: Mapping[str, Any]) -> dict[str, Any]:
    average = found.get("_streaming_avg")
    past = average if isinstance(average, Mapping) or average is None else vars(average)
    window = {} if past is None else {"window": tuple(past["values"]), "total": float(past["sum"])}
    floored = found["reset_start_original"] - found["reset_start"]
    return {"good": found["num_good_epochs"], "warming": found["warmup_counter"], "floored": floored, **window}


def _best(found: Mapping[str, Any]) -> float | None:
    worst = math.inf if found["mode"] == "min" else -math.inf
    best = float(found["best"])
    return None if best == worst else best


def _shared(floors: Sequence[Any], group: int) -> float:
    """A late group's bound, which torch takes from the others where they share one."""
    if len(set(floors)) != 1:
        raise ValueError(
            f"group {group} came after the scheduler, which has bounds {list(floors)} for the others; set its"
        )
    return float(floors[0])


def _whole(key: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{NAME}: {key} must be a whole number of epochs, got {value!r:.80}")  # noqa: TRY004  # perhaps JSON
    return value


# Signatures to bind to: what these are called with elsewhere.


def keras_reduce(  # noqa: D103
    monitor: str = "val_loss",
    factor: float = 0.1,
    patience: int = 10,
    verbose: int = 0,
    mode: str = "auto",
    min_delta: float = 1e-4,
    cooldown: int = 0,
    min_lr: float = 0.0,
) -> None: ...


def greedy_lr(  # noqa: D103
    mode: str = "min",
    factor: float = 0.95,
    patience: int = 10,
    threshold: float = 1e-6,
    threshold_mode: str = "abs",
    cooldown: int = 0,
    warmup: int = 0,
    min_lr: float = 1e-3,
    max_lr: float = 1.0,
    eps: float = 1e-8,
    verbose: bool = False,  # noqa: FBT001, FBT002  # Transformers' order
    smooth: bool = False,  # noqa: FBT001, FBT002  # as above
    window_size: int = 50,
    reset_start: int = 500,
) -> None: ...


def timm_lr(  # noqa: D103
    decay_rate: float = 0.1,
    patience_t: int = 10,
    threshold: float = 1e-4,
    cooldown_t: int = 0,
    warmup_t: int = 0,
    warmup_lr_init: float = 0.0,
    lr_min: float = 0.0,
    mode: str = "max",
    initialize: bool = True,  # noqa: FBT001, FBT002  # timm's order
) -> None: ...


TIMM_TAKES = tuple(inspect.signature(timm_lr).parameters)
