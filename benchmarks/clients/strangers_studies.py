"""Studies of eight strangers' problems in every mode: runs beside a plain torch loop, statistics beside scipy's.

    problem ─┬─ torch.optim, the rate written by hand ────────────────► weights, losses, results ─┐
             ├─ advance and evaluate: loop, rows, rows compiled ──────► the same ─────────────────┼─► largest difference
             └─ tapered study FILE --json, with `mode` in the file ───► every run's value, test ──┘

A difference is relative to the largest number of its tensor, or to the value. Minibatches and draws of both sides are
the documented ones (`Workload.batch`, `tapered.draws.seeded`); loss, updates, rates and evaluation are not tapered's on
the plain side. Takes about two minutes on one core.
"""

import argparse
import contextlib
import importlib
import io
import json
import math
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from scipy import stats

from tapered import parse, rules
from tapered.cli import main as cli
from tapered.draws import seeded
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.rows import start, tabulate

HERE = Path(__file__).parent / "strangers_problems"
PROBLEMS = tuple(sorted(path.stem for path in HERE.glob("*.py")))
STEPS, SEEDS = 24, 8
TOLERANCE = 1e-5  # float32
MODES = (Mode("loop", 1, "by hand"), Mode("rows", 16, "by hand"), Mode("rows compiled", 16, "by hand"))
# what tapered is told, and the same in ordinary code: step, peak -> rate
SCHEDULES: Mapping[str, tuple[str, Callable[[int, float], float]]] = {
    "cosine": (
        f"cosine_decay(decay_steps={STEPS})",
        lambda k, peak: peak * 0.5 * (1 + math.cos(math.pi * k / STEPS)),
    ),
    "exponential": ("exponential_decay(decay_steps=1, decay_rate=0.9)", lambda k, peak: peak * 0.9**k),
}
RULES = {"Adam": (rules.Adam(), {}), "SGD": (rules.SGD(momentum=True), {"momentum": 0.9})}
OPTIMIZERS = {
    "Adam": lambda params: torch.optim.Adam(params, lr=0.0),
    "SGD": lambda params: torch.optim.SGD(params, lr=0.0, momentum=0.9),
}


@dataclass
class Found:
    """What a run ends with."""

    weights: dict[str, torch.Tensor]
    losses: list[float]
    results: dict[str, dict[str, float]]


@dataclass
class Differences:
    """The largest relative difference, where it is, and the modes that were tried."""

    largest: float = 0.0
    where: str = "nowhere"
    statistics: float = 0.0
    modes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def see(self, difference: float, where: str) -> None:
        if not difference <= self.largest:  # nan is large
            self.largest, self.where = difference, where

    def fault(self, said: str) -> None:
        self.faults.append(said)
        self.see(math.inf, said)


def minibatch_by_hand(module: ModuleType, seed: int, step: int) -> list:
    """The indices of a minibatch, or, where items draw, the items, each made under its own seed."""
    indices = module.problem.batch(seed, step).tolist()
    if not getattr(module, "DRAWS", False):
        return indices
    items = []
    for place, i in enumerate(indices):
        with seeded(seed, f"item/{place}", step):
            items.append(module.problem.train[i])
    return items


def by_hand(module: ModuleType, schedule: str, seed: int) -> Found:
    """A run as anybody writes it."""
    with seeded(seed, "model"):
        model = module.problem.model()
    optimizer, rate, losses = OPTIMIZERS[module.RULE](model.parameters()), SCHEDULES[schedule][1], []
    model.train()
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rate(step, module.PEAK)
        optimizer.zero_grad()
        minibatch = minibatch_by_hand(module, seed, step)
        with seeded(seed, "step", step):
            loss = module.loss_by_hand(model, minibatch)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    model.eval()
    with torch.no_grad():
        results = {split: module.results_by_hand(model, split) for split in ("valid", "test")}
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return Found({name: tensor.detach() for name, tensor in tensors.items()}, losses, results)


def relative(mine: object, theirs: object) -> float:
    """The largest difference as a share of the largest number."""
    a, b = (np.asarray(x.detach() if isinstance(x, torch.Tensor) else x, dtype="f8") for x in (mine, theirs))
    return float(np.abs(a - b).max() / np.abs(b).max().clip(1e-30)) if a.shape == b.shape else math.inf


def trained(
    module: ModuleType, hand: Mapping[tuple[str, int], Found], modes: Iterable[Mode], found: Differences
) -> None:
    """Train all runs as rows in each mode, and compare weights, losses and results."""
    rule, hypers = RULES[module.RULE]
    paths = [tabulate(rule, STEPS, lr=module.PEAK * parse(SCHEDULES[name][0]), **hypers) for name, _ in hand]
    for mode in modes:
        try:
            rows = advance(module.problem, start(module.problem, rule, [s for _, s in hand]), paths, STEPS, mode=mode)
            results = {split: evaluate(module.problem, rows, split, mode=mode) for split in ("valid", "test")}
        except Exception as error:  # noqa: BLE001 - whatever a mode raises is the finding
            if mode.kind == "loop" or module.STACKS:
                found.fault(f"{mode.kind}: {type(error).__name__}: {error}")
            continue
        found.modes.append(mode.kind)
        for place, run in enumerate(hand.values()):
            for name, tensor in run.weights.items():
                ours = rows.params if name in rows.params else rows.buffers
                found.see(relative(ours[name][place], tensor), f"{mode.kind}, {name}")
            for step, loss in rows.losses[place]:
                found.see(relative(loss, run.losses[step]), f"{mode.kind}, loss of step {step}")
            for split, rows_of in results.items():
                compare(rows_of[place], run.results[split], f"{mode.kind}, {split}", found)


def compare(ours: Mapping[str, float], theirs: Mapping[str, float], where: str, found: Differences) -> None:
    if set(ours) != set(theirs):
        found.fault(f"{where}: {sorted(ours)} for {sorted(theirs)}")
        return
    for name, value in theirs.items():
        found.see(relative(ours[name], value), f"{where} {name}")


def study_file(module: ModuleType, mode: str, seeds: int) -> str:
    """The study of both schedules, at one peak."""
    lines = [
        'name = "strangers"',
        f'workload = "{module.__name__.rpartition(".")[2]}.py:problem"',
        f"steps = {STEPS}\nseeds = {seeds}\nevaluations = 2",
        f'baseline = "{next(iter(SCHEDULES))}"',
        f"peaks = {{ low = {module.PEAK}, high = {module.PEAK}, count = 1 }}",
        f'mode = "{mode}"',
    ]
    hypers = RULES[module.RULE][1]
    for name, (text, _) in SCHEDULES.items():
        lines += ["[[arms]]", f'name = "{name}"', f'rule = "{module.RULE}"', f'lr = "{text}"']
        if hypers:
            lines += ["options = { momentum = true }", "hypers = { momentum = 0.9 }"]
    return "\n".join(lines) + "\n"


def studied(module: ModuleType, hand: Mapping[tuple[str, int], Found], mode: str, found: Differences) -> None:
    """The same runs as a study by the command line, in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(module.__file__, folder)
        file, out, said = Path(folder) / "strangers.toml", io.StringIO(), io.StringIO()
        file.write_text(study_file(module, mode, len(hand) // len(SCHEDULES)))
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(said):
            code = cli.main(["study", str(file), "--store", str(Path(folder) / "results"), "--json"])
        if code != 0:
            found.fault(f"study, {mode}: exit code {code}: {(said.getvalue() + out.getvalue()).strip()}")
            return
        result = json.loads(out.getvalue())
    taken = [m["kind"] for m in result["modes"]]
    if taken != [mode]:
        found.fault(f"study, {mode}: trained as {taken}")
    for run in result["every_run"]:
        theirs = hand[run["arm"], run["seed"]].results["valid"]["loss"]
        found.see(relative(run["value"], theirs), f"study, {mode}, {run['arm']}, seed {run['seed']}")
    for arm in result["arms"]:
        for name, values in arm["test"].items():
            theirs = [run.results["test"][name] for (schedule, _), run in hand.items() if schedule == arm["name"]]
            found.see(relative(values, theirs), f"study, {mode}, {arm['name']}, test {name}")
    found.statistics = max(found.statistics, *(relative(a, b) for a, b in statistics(result)))


def statistics(result: Mapping) -> Iterable[tuple[object, object]]:
    """What a study says, and what numpy and scipy say of the same runs."""
    values = {
        arm["name"]: [r["value"] for r in result["every_run"] if r["arm"] == arm["name"]] for arm in result["arms"]
    }
    for arm in result["arms"]:
        yield arm["values"], values[arm["name"]]
        yield arm["peaks"][0]["mean"], np.mean(values[arm["name"]])
    for said in result["comparisons"]:
        gains = np.array(values[said["baseline"]]) - np.array(values[said["arm"]])
        yield said["gains"], gains
        yield said["mean"], gains.mean()
        yield said["spread"], gains.std(ddof=1)
        yield [said["low"], said["high"]], stats.ttest_1samp(gains, 0).confidence_interval(said["level"])
        yield said["p_uncorrected"], flipped(gains)
        yield said["p"], flipped(gains)  # one comparison: nothing to correct
        if said.get("flips"):
            yield ends_are_where_p_is_alpha(gains, said["flips"], 1 - said["level"]), [True, True]
        wins, losses = int((gains > 0).sum()), int((gains < 0).sum())
        yield [said["wins"], said["losses"]], [wins, losses]
        yield said["win_interval"], stats.binomtest(wins, wins + losses).proportion_ci(said["level"], "exact")


def flipped(gains: np.ndarray) -> float:
    """The p of the sign-flip test."""
    return stats.permutation_test((gains,), np.mean, permutation_type="samples", n_resamples=np.inf).pvalue


def ends_are_where_p_is_alpha(gains: np.ndarray, ends: Sequence[float], alpha: float) -> list[bool]:
    """Whether a mean just within each end is no longer rejected, and one just beyond it is."""
    inwards = 1e-6 * (ends[1] - ends[0])
    return [
        flipped(gains - end - inward) > alpha >= flipped(gains - end + inward)
        for end, inward in zip(ends, (inwards, -inwards), strict=True)
    ]


def load(name: str) -> ModuleType | str:
    """A problem, or why it is left out here."""
    if str(HERE.parent) not in sys.path:
        sys.path.append(str(HERE.parent))
    try:
        return importlib.import_module(f"strangers_problems.{name}")
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"


def judge(
    module: ModuleType, modes: Sequence[Mode] = MODES, seeds: int = SEEDS, *, studies: bool = True
) -> Differences:
    """A problem in these modes."""
    found, hand = Differences(), {(name, s): by_hand(module, name, s) for name in SCHEDULES for s in range(seeds)}
    trained(module, hand, modes, found)
    for kind in list(found.modes) if studies else ():
        studied(module, hand, kind, found)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs="+", choices=PROBLEMS, default=PROBLEMS, help="problems")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    figures: dict[str, float | str | None] = {}
    right, worst = True, 0.0
    for name in chosen.only:
        module = load(name)
        if isinstance(module, str):
            figures[name] = None
            print(f"{name:18} skipped: {module}", file=sys.stderr)
            continue
        found = judge(module)
        figures[name] = float(f"{found.largest:.3g}")
        worst, right = max(worst, found.statistics), right and found.largest <= TOLERANCE
        print(f"{name:18} {found.largest:8.2g}  {', '.join(found.modes)}  ({found.where})", file=sys.stderr)
        for said in found.faults:
            print(f"{'':18} {said}", file=sys.stderr)
    figures["statistics"] = float(f"{worst:.3g}")
    print(f"{'statistics':18} {worst:8.2g}", file=sys.stderr)
    if chosen.json:
        print(json.dumps({name: str(v) if v == math.inf else v for name, v in figures.items()}))
    return 0 if right and worst <= 1e-9 else 1


if __name__ == "__main__":
    sys.exit(main())
