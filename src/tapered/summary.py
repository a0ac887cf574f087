"""A study's plan and result as tables, sentences and JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from tapered.forecast import Forecast
from tapered.result import ArmResult, Cost, StudyResult, is_diverged, mean
from tapered.runs import Run
from tapered.study import Verified
from tapered.train import Mode


def finite(value: float) -> float | None:
    """The value, None where it is no finite number."""
    return value if isfinite(value) else None


def number(value: float | None) -> str:
    """Four significant digits; a dash where there is no number.

    >>> number(0.012345), number(float("nan")), number(None)
    ('0.01235', '-', '-')
    """
    return "-" if value is None or not isfinite(value) else f"{value:.4g}"


def outcome(run: Run) -> str:
    """What became of a run."""
    return f"diverged at step {run.step}" if is_diverged(run) else "finished"


def arm_rows(result: StudyResult) -> list[tuple[str, ...]]:
    """The arms as a small table, its first row the header."""
    study = result.loaded.study
    header = (
        "arm",
        "best peak",
        f"valid {study.metric}",
        *(f"test {name}" for name in result.arms[0].test),
        "diverged",
    )
    return [header, *(_arm_row(arm) for arm in result.arms)]


def _arm_row(arm: ArmResult) -> tuple[str, ...]:
    peak = "as written" if arm.best.peak is None else number(arm.best.peak)
    tests = (number(mean(values)) for values in arm.test.values())
    runs = sum(len(peak.runs) for peak in arm.peaks)
    return (arm.name, peak, number(arm.best.mean), *tests, f"{sum(peak.diverged for peak in arm.peaks)} of {runs}")


def cost_lines(cost: Cost) -> list[str]:
    """What the runs took, a sentence each: steps asked and made, and how the rows of each rule were trained."""
    steps = f"{cost.asked:,} steps asked, {cost.to_run:,} to run"
    why = f"{cost.ratio:.2f} times fewer, as runs share them" if cost.reason is None else f"none shared: {cost.reason}"
    return [f"{steps}, {why}.", *(_mode_line(arms, mode) for arms, mode in cost.modes)]


def _mode_line(arms: Sequence[str], mode: Mode) -> str:
    width = "" if mode.kind == "loop" else f", {mode.width} rows at once"
    return f"{', '.join(arms)}: trained as {mode.kind}{width}; {mode.reason}."


def _modes(cost: Cost) -> list[dict[str, Any]]:
    return [{"arms": list(arms), **asdict(mode)} for arms, mode in cost.modes]


def forecast_rows(found: Forecast) -> list[tuple[str, str]]:
    """A forecast as a small table without a header."""
    cost = found.cost
    return [
        ("runs", f"{found.runs:,}"),
        ("steps asked", f"{cost.asked:,}"),
        ("steps to run", f"{cost.to_run:,}"),
        ("ratio", f"{cost.ratio:.2f}"),
        ("trees", f"{found.trees:,}"),
        ("bundles", f"{found.bundles:,}"),
        ("memory", _size(found.memory)),
        ("time", _duration(found.seconds)),
    ]


def _size(size: float) -> str:
    """Bytes to two digits or more.

    >>> _size(5000), _size(3 * 2**30)
    ('4.9 KiB', '3.0 GiB')
    """
    unit = "KiB" if size < 2**20 else "MiB" if size < 2**30 else "GiB"
    return f"{size / {'KiB': 2**10, 'MiB': 2**20, 'GiB': 2**30}[unit]:,.1f} {unit}"


def _duration(seconds: float) -> str:
    """About how long.

    >>> _duration(0.2), _duration(59), _duration(3600), _duration(36000), _duration(float("nan"))
    ('about 1 s', 'about 59 s', 'about 60 min', 'about 10 h', 'unknown')
    """
    if not isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"about {max(1, round(seconds))} s"
    return f"about {round(seconds / 60)} min" if seconds < 6000 else f"about {round(seconds / 3600)} h"


def forecast_fields(found: Forecast) -> dict[str, Any]:
    """A forecast as JSON takes it."""
    named = {"runs": found.runs, "trees": found.trees, "bundles": found.bundles}
    steps = {"steps_asked": found.cost.asked, "steps_to_run": found.cost.to_run, "ratio": found.cost.ratio}
    why = {"not_shared": found.cost.reason, "modes": _modes(found.cost)}
    return {**named, **steps, "memory_bytes": found.memory, "seconds": finite(found.seconds), **why}


def verified_line(found: Verified) -> str:
    """What a verification found, as a sentence."""
    return (
        f"Verified: {found.runs} of {found.of} runs trained again from scratch, max |difference| = "
        f"{found.difference:g} over parameters, buffers and rule state."
    )


def verified_fields(found: Verified) -> dict[str, Any]:
    """What a verification found, as JSON takes it; the difference is null where a run diverged at another step."""
    return {"runs": found.runs, "of": found.of, "max_difference": finite(found.difference)}


def summary(result: StudyResult) -> dict[str, Any]:
    """The result as JSON takes it: no NaN, no infinity."""
    return {
        "study": result.loaded.study.name,
        "sentence": result.sentence,
        "caveats": list(result.caveats),
        "updates": result.updates,
        "updates_made": result.cost.to_run,
        "shared": result.cost.ratio,
        "modes": _modes(result.cost),
        "runs": len(result.runs),
        "arms": [
            {
                "name": arm.name,
                "lr": arm.lr,
                "fixed": arm.fixed,
                "best_peak": arm.best.peak,
                "edge": arm.edge,
                "values": [finite(run.value) for run in arm.best.runs],
                "test": {name: [finite(value) for value in values] for name, values in arm.test.items()},
                "peaks": [{"peak": p.peak, "mean": p.mean, "diverged": p.diverged} for p in arm.peaks],
            }
            for arm in result.arms
        ],
        "comparisons": [
            {
                "arm": c.arm,
                "baseline": c.baseline,
                "verdict": c.verdict.word,
                "reason": c.verdict.reason,
                "mean": c.paired.mean,
                "low": c.paired.low,
                "high": c.paired.high,
                "p": c.p,
                "gains": [finite(gain) for gain in c.gains],
            }
            for c in result.comparisons
        ],
        "environment": dict(result.environment),
    }
