"""What the runs of one framework have written down, one against another."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from trainers.run import PEAK, REFUSED, STEPS, STOPPED_AFTER, shape

SAME = 1e-6  # relative, of weights from two kernels
ROUNDED = 1e-12  # relative to the peak, of a rate that is written in two ways


@dataclass(frozen=True)
class Compared:
    """As `clients.Row`."""

    verdict: str
    updates: int | None = None
    used: float | None = None
    logged: float | None = None
    weights: float | None = None
    resumed: float | None = None
    torch_resumed: float | None = None


@dataclass(frozen=True)
class Done:
    """One run."""

    used: list[list[float]]  # by update, a rate for each group
    shown: list[list[float]]  # what group["lr"] held after it
    logged: list[list[float]]
    form: list[list[float]] | None  # the rates that are right, where the curve alone does not say
    weights: dict[str, torch.Tensor] | None
    error: str | None


def read(out: Path) -> Done:
    lines = [json.loads(line) for line in (out / "used").read_text().splitlines()] if (out / "used").exists() else []
    while "finder" in lines:  # what a finder does before the run is compared by what comes after it
        lines = lines[lines.index("finder") + 1 :]
    logged = (out / "logged").read_text().splitlines() if (out / "logged").exists() else []
    values = [json.loads(line) for line in logged]
    weights = torch.load(out / "end.pt", weights_only=True) if (out / "end.pt").exists() else None
    error = (out / "error").read_text() if (out / "error").exists() else None
    return Done(
        [used for used, _ in lines],
        [shown for _, shown in lines],
        [value if isinstance(value, list) else [value] for value in values],
        json.loads((out / "form").read_text()) if (out / "form").exists() else None,
        weights,
        error,
    )


def furthest(here: list[list[float]], there: list[list[float]]) -> float:
    """The largest difference of two lists of rates; infinite where they are not of the same length."""
    if [len(one) for one in here] != [len(one) for one in there]:
        return float("inf")
    return max(
        (abs(a - b) for one, two in zip(here, there, strict=True) for a, b in zip(one, two, strict=True)), default=0.0
    )


def relative(here: dict[str, torch.Tensor], there: dict[str, torch.Tensor]) -> float:
    """The largest difference of two sets of weights, relative to the largest weight of each tensor."""
    if here.keys() != there.keys():
        return float("inf")
    pairs = [(here[key].double(), there[key].double()) for key in here if here[key].is_floating_point()]
    return max(float((a - b).abs().max() / b.abs().max().clamp(min=1e-30)) for a, b in pairs)


def compared(place: Path) -> Iterator[tuple[str, str, Compared]]:
    """Each case and optimizer with what came of it."""
    for case in sorted(place.iterdir(), key=lambda path: path.stat().st_ctime):
        done = {kind.name: {role.name: read(role) for role in kind.iterdir()} for kind in case.iterdir()}
        for kind in ("tapered", "attached"):
            if kind in done:
                refusal = case.name.startswith(REFUSED)
                runs = done[kind]
                yield case.name, kind, refused(runs["whole"]) if refusal else one(case.name, done["torch"], runs)


def refused(run: Done) -> Compared:
    """Two that write one rate: refused in words, tapered's or the finder's own."""
    said = " ".join((run.error or "").split())
    if run.error and ("keep one of the two" in said or "already has a scheduler attached" in said):
        return Compared("right: refused", updates=len(run.used))
    return Compared(f"failed: {said[:300]}" if run.error else "wrong: not refused")


def failure(whose: str, runs: dict[str, Done]) -> str | None:
    for role in ("whole", "killed", "resumed"):
        if runs[role].error:
            return f"failed: {whose}, {role}: {' '.join(runs[role].error.split())[:300]}"
    if len(runs["killed"].used) != STOPPED_AFTER or runs["killed"].weights is not None:
        return f"failed: {whose} was not killed after update {STOPPED_AFTER}"
    return None


def one(case: str, theirs: dict[str, Done], ours: dict[str, Done]) -> Compared:
    why = failure("torch's AdamW", theirs) or failure("this one", ours)
    if why:
        return Compared(why)
    whole, resumed = ours["whole"], ours["resumed"]
    torch_resumed = relative(theirs["resumed"].weights, theirs["whole"].weights)
    went_on = relative(resumed.weights, whole.weights)
    tail = -len(resumed.used)
    if case.startswith("schedule"):  # the truth is known, whatever torch's scheduler does after it is resumed
        form = whole.form or [[PEAK * shape(k)] * len(whole.used[0]) for k in range(STEPS)]
        used = max(furthest(whole.used, form), furthest(resumed.used, form[tail:]))
        pairs = zip(form[1:], whole.shown, strict=False)  # a group that joins next is not shown yet
        if "Backbone" not in case:  # which writes another rate between two updates
            used = max(used, furthest(whole.shown[:-1], [rates[: len(shown)] for rates, shown in pairs]))
        logged_then = theirs["whole"].logged[-len(resumed.logged) :] if resumed.logged else theirs["resumed"].logged
        end = theirs["whole"].weights
        same = went_on == 0
    else:
        used = max(furthest(whole.used, theirs["whole"].used), furthest(resumed.used, theirs["resumed"].used))
        logged_then, end = theirs["resumed"].logged, theirs["resumed"].weights
        same = went_on == 0 or torch_resumed > 0
    logged = max(furthest(whole.logged, theirs["whole"].logged), furthest(resumed.logged, logged_then))
    weights = max(relative(whole.weights, theirs["whole"].weights), relative(resumed.weights, end))
    wrong = [
        what
        for what, right in {
            f"{len(whole.used)} updates": len(whole.used) == STEPS and -tail == len(theirs["resumed"].used) < STEPS,
            "rates used": used <= ROUNDED * PEAK,
            "rates logged": bool(whole.logged) and logged <= ROUNDED * PEAK,
            "weights": weights <= SAME,
            "resumed": same,
        }.items()
        if not right
    ]
    verdict = f"wrong: {', '.join(wrong)}" if wrong else "right"
    return Compared(verdict, len(whole.used), used, logged, weights, went_on, torch_resumed)
