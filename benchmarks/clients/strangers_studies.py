"""Studies of eight strangers' problems in every mode: runs beside a plain torch loop, statistics beside scipy's.

    problem ─┬─ torch.optim, clip_grad_norm_, AveragedModel, ... by hand ─► weights, losses, results ─┐
             ├─ advance and evaluate: loop, rows, rows compiled ──────────► the same ─────────────────┼─► difference
             └─ tapered study FILE --json, with `mode` in the file ───────► every run's value, test ──┘

A difference is relative to the largest number of its tensor, or to the value. Minibatches and draws of both sides are
the documented ones; loss, clipping, updates, rates, averages and evaluation are not tapered's on the plain side
(`strangers_by_hand`). Takes about two minutes on one core.
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import torch
from scipy import stats
from strangers_by_hand import STEPS, Found, Plain, by_hand

from tapered import parse, rules
from tapered.cli import main as cli
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.averages import Average
from tapered.training.rows import Rows, start, tabulate

HERE = Path(__file__).parent / "strangers_problems"
PROBLEMS = tuple(sorted(path.stem for path in HERE.glob("*.py")))
SEEDS = 8
TOLERANCE = 1e-5  # float32
HALVED = "deep_supervision"  # trained in bfloat16 and float16 as well
MODES = (Mode("loop", 1, "by hand"), Mode("rows", 16, "by hand"), Mode("rows compiled", 16, "by hand"))
SCHEDULES: Mapping[str, str] = {
    "cosine": f"cosine_decay(decay_steps={STEPS})",
    "exponential": "exponential_decay(decay_steps=1, decay_rate=0.9)",
}
# by the name of torch's optimizer: rule, its options in a file, hypers
RULES: Mapping[str, tuple[rules.Rule, str, Mapping[str, float]]] = {
    "Adam": (rules.Adam(), "", {}),
    "AdamW": (rules.Adam(decay="decoupled"), 'decay = "decoupled"', {"weight_decay": 0.1}),
    "SGD": (rules.SGD(momentum=True), "momentum = true", {"momentum": 0.9}),
}


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


def relative(mine: object, theirs: object) -> float:
    """The largest difference as a share of the largest number."""
    a, b = (np.asarray(x.detach() if isinstance(x, torch.Tensor) else x, dtype="f8") for x in (mine, theirs))
    return float(np.abs(a - b).max() / np.abs(b).max().clip(1e-30)) if a.shape == b.shape else math.inf


def plain_of(module: ModuleType) -> Plain:
    """How a problem is trained by hand."""
    return Plain(**module.BY_HAND)


def trained(
    module: ModuleType, hand: Mapping[tuple[str, int], Found], modes: Iterable[Mode], found: Differences
) -> None:
    """Train all runs as rows in each mode, and compare weights, losses and results."""
    plain = plain_of(module)
    rule, _, hypers = RULES[plain.rule]
    paths = [tabulate(rule, STEPS, lr=plain.peak * parse(SCHEDULES[name]), **hypers) for name, _ in hand]
    if given := getattr(module, "AVERAGE", None):
        paths = [Average(**given).over(path) for path in paths]
    rule, rounding = paths[0].rule, getattr(module, "ROUNDING", {})
    for mode in modes:
        try:
            rows = advance(module.problem, start(module.problem, rule, [s for _, s in hand]), paths, STEPS, mode=mode)
            results = {split: evaluate(module.problem, rows, split, mode=mode) for split in ("valid", "test")}
        except Exception as error:  # noqa: BLE001 - whatever a mode raises is the finding
            if mode.kind == "loop" or plain.stacks:
                found.fault(f"{mode.kind}: {type(error).__name__}: {error}")
            continue
        found.modes.append(mode.kind)
        for place, run in enumerate(hand.values()):
            compare_weights(rows.take([place]), run, rounding, mode.kind, found)
            for step, loss in rows.losses[place]:
                found.see(relative(loss, run.losses[step]), f"{mode.kind}, loss of step {step}")
            for split, rows_of in results.items():
                if run.results[split]:
                    compare(rows_of[place], run.results[split], f"{mode.kind}, {split}", found)


def compare_weights(row: Rows, run: Found, rounding: Mapping[str, slice], where: str, found: Differences) -> None:
    """Parameters and buffers, but for what is trained by rounding alone."""
    for name, tensor in run.weights.items():
        mine, theirs = (row.params if name in row.params else row.buffers)[name][0].clone(), tensor.clone()
        for each in (mine, theirs) if name in rounding else ():
            each[rounding[name]] = 0
        found.see(relative(mine, theirs), f"{where}, {name}")


def compare(ours: Mapping[str, float], theirs: Mapping[str, float], where: str, found: Differences) -> None:
    if set(ours) != set(theirs):
        found.fault(f"{where}: {sorted(ours)} for {sorted(theirs)}")
        return
    for name, value in theirs.items():
        found.see(relative(ours[name], value), f"{where} {name}")


def study_file(module: ModuleType, mode: str, seeds: int) -> str:
    """The study of both schedules, at one peak."""
    plain = plain_of(module)
    rule, options, hypers = RULES[plain.rule]
    lines = [
        'name = "strangers"',
        f'workload = "{module.__name__.rpartition(".")[2]}.py:problem"',
        f"steps = {STEPS}\nseeds = {seeds}\nevaluations = 2",
        f'baseline = "{next(iter(SCHEDULES))}"',
        f"peaks = {{ low = {plain.peak}, high = {plain.peak}, count = 1 }}",
        f'mode = "{mode}"',
    ]
    for name, text in SCHEDULES.items():
        lines += ["[[arms]]", f'name = "{name}"', f'rule = "{type(rule).__name__}"', f'lr = "{text}"']
        lines += [f"options = {{ {options} }}", f"hypers = {table(hypers)}"]
        lines += [f"average = {table(module.AVERAGE)}"] if hasattr(module, "AVERAGE") else []
    return "\n".join(lines) + "\n"


def table(fields: Mapping[str, float | str]) -> str:
    """Numbers and words as TOML has them in a line."""
    return "{ " + ", ".join(f"{name} = {json.dumps(value)}" for name, value in fields.items()) + " }"


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
    module: ModuleType,
    modes: Sequence[Mode] = MODES,
    seeds: int = SEEDS,
    *,
    studies: bool = True,
    plain: Plain | None = None,
) -> Differences:
    """A problem in these modes, beside its own plain loop or another."""
    found, plain = Differences(), plain or plain_of(module)
    hand = {(name, s): by_hand(module, plain, name, s) for name in SCHEDULES for s in range(seeds)}
    trained(module, hand, modes, found)
    for kind in list(found.modes) if studies else ():
        studied(module, hand, kind, found)
    return found


def in_halves(module: ModuleType, precision: str) -> SimpleNamespace:
    """The same problem under autocast, by hand too; there of the same operations, as others are rounded otherwise."""
    problem = replace(module.problem, recipe=module.problem.recipe.having(precision=precision))
    hand = {"precision": precision, "loss": lambda *given: problem.objective(*given)["loss"], "results": lambda *_: {}}
    return SimpleNamespace(problem=problem, BY_HAND=module.BY_HAND | hand)


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
        if name == HALVED:
            for precision in ("bfloat16", "float16"):
                half = judge(in_halves(module, precision), MODES[:1], studies=False)
                found.see(half.largest, f"{precision}, {half.where}")
                found.faults += half.faults
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
