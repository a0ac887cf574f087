"""torch's CyclicLR and OneCycleLR: their attributes, or what their state dicts hold, back to constructor arguments."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

Groups = Sequence[Mapping[str, Any]]
COUNTS = {"triangular": "cycle", "triangular2": "cycle", "exp_range": "iterations"}  # what each mode's height counts


def _near(steps: float) -> float:
    """A number of steps that torch keeps as a fraction, back to the whole one that it was."""
    return round(steps) if abs(steps - round(steps)) < 1e-9 * steps else steps


def cyclic(given: Mapping[str, Any], bases: tuple[float, ...]) -> dict[str, Any]:
    """CyclicLR's arguments, from its attributes or its state."""
    up = _near(given["total_size"] * given["step_ratio"])
    return {
        "base_lr": bases,
        "max_lr": tuple(float(rate) for rate in given["max_lrs"]),
        "step_size_up": up,
        "step_size_down": _near(given["total_size"] - up),
        "cycle_momentum": given["cycle_momentum"],
        "scale_fn": given["_scale_fn_custom"],
        **{name: given[name] for name in ("mode", "gamma", "scale_mode")},
    }


def one_cycle(given: Mapping[str, Any], bases: tuple[float, ...], groups: Groups | None) -> dict[str, Any]:
    """OneCycleLR's arguments, of which it writes two into the optimizer's groups."""
    if groups is None or not all({"max_lr", "min_lr"} <= set(group) for group in groups[: len(bases)]):
        raise ValueError(
            "a OneCycleLR's state dict does not hold its max_lr and min_lr, the optimizer's groups do; "
            'give groups=optimizer.state_dict()["param_groups"]'
        )
    phases, total = given["_schedule_phases"], given["total_steps"]
    tops = tuple(float(group["max_lr"]) for group in groups[: len(bases)])
    lows = tuple(float(group["min_lr"]) for group in groups[: len(bases)])
    return {
        "max_lr": tops,
        "total_steps": total,
        "pct_start": (phases[0]["end_step"] + 1) / total,
        "anneal_strategy": given["_anneal_func_type"],
        "div_factor": tuple(top / base for top, base in zip(tops, bases, strict=True)),
        "final_div_factor": tuple(base / low for base, low in zip(bases, lows, strict=True)),
        "three_phase": len(phases) == 3,
        "cycle_momentum": given["cycle_momentum"],
    }


def refuse_unsaid(state: Mapping[str, Any]) -> None:
    """Refuses a CyclicLR's state of which one can see that there was a scale_fn: it is not in there.

    Raises:
        ValueError: the attributes of a callable object are in it, or a mode, a scale_mode or a rate that no mode has.
    """
    custom, mode = state["_scale_fn_custom"], state["mode"]
    if custom is None and COUNTS.get(mode) == state["scale_mode"] and _has_its_rate(state):
        return
    held = "its function" if custom is None else "the code of its callable object, but its attributes alone"
    raise ValueError(
        f"the state dict of a CyclicLR with a scale_fn does not hold {held}; convert the live scheduler, "
        "from_torch(scheduler)"
    )


def _has_its_rate(state: Mapping[str, Any]) -> bool:
    """Whether the last rate, which torch computes from the step alone, is the one that the mode gives."""
    step = max(int(state["last_epoch"]), 0)
    cycle, x = divmod(step / state["total_size"], 1.0)
    ratio = state["step_ratio"]
    height = x / ratio if x <= ratio else (1.0 - x) / (1.0 - ratio)
    height *= {"triangular": 1.0, "triangular2": 0.5**cycle, "exp_range": state["gamma"] ** step}[state["mode"]]
    pairs = zip(state["base_lrs"], state["max_lrs"], state.get("_last_lr") or (), strict=False)
    return all(
        math.isclose(float(last), float(low) + (float(high) - float(low)) * height, rel_tol=1e-9, abs_tol=1e-14)
        for low, high, last in pairs
    )
