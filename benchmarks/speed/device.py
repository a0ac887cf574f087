"""On a machine with a GPU: exactness there, torch's kernels and optimizer suite, and what training takes beside a loop.

    python benchmarks/speed/device.py [--device cuda] [--json] [--sample 40] [--share 1.0]

device_exact.py's checks; each fused kernel against the rule (`tapered.rules.fused.right`); some runs of every template
of torch_suite.py against torch's optimizers; a step with its schedule against torch's fused Adam with ExponentialLR,
and rows against a torch loop, in turn, in one process, with the device waited for. It ends with 1 where a check fails.
Each is told as soon as it is known, and what is known is kept in measured-device.json, so that a machine that is taken
away leaves what it has found; nothing is kept of a `--share` of rows and steps, which its test asks for.
"""

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import torch
from common import decays, digits, in_turn, letters, perceptron, times_faster, torch_loop
from device_exact import checks
from step import CASES as STEPS

import tapered
from tapered import Workload, rules
from tapered.rules import fused
from tapered.training import modes
from tapered.training.advance import advance
from tapered.training.capacity import row_bytes
from tapered.training.devices import CPU, device_of, name_of
from tapered.training.recipe import Recipe
from tapered.training.rows import start

KEPT = Path(__file__).parents[1] / "measured-device.json"
RULES = {
    "SGD": rules.SGD(),
    "SGD momentum": rules.SGD(momentum=True),
    "Adam": rules.Adam(),
    "AMSGrad": rules.Adam(amsgrad=True),
    "AdamW": rules.Adam(decay="decoupled"),
    "Adagrad": rules.Adagrad(),
}
CASES: dict[str, tuple[Callable[[], Workload], int, int]] = {  # workload, rows, steps of a measurement
    "mlp_vs_torch": (perceptron, 1024, 200),
    "cnn_vs_torch": (digits, 64, 100),
    "transformer_vs_torch": (letters, 16, 50),
}
LONG = 100_000  # the steps that the mode is chosen for
ROUNDS = 5
SUITE = 180.0  # seconds


def wait(place: torch.device) -> None:
    if place != CPU:
        torch.get_device_module(place).synchronize(place)


def timed(place: torch.device, step: Callable[[], object], times: int) -> float:
    wait(place)
    begin = time.perf_counter()
    for _ in range(times):
        step()
    wait(place)
    return (time.perf_counter() - begin) / times


def parameters(sizes: list[int], place: torch.device) -> list[torch.nn.Parameter]:
    made = [torch.nn.Parameter(torch.randn(size, device=place)) for size in sizes]
    for param in made:
        param.grad = torch.randn_like(param)
    return made


def step_ratio(place: torch.device, sizes: list[int], times: int) -> float:
    """The time of tapered's step as a part of that of torch's with its scheduler, median of neighbouring blocks."""
    rate = tapered.exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999)
    ours = tapered.Adam(parameters(sizes, place), lr=rate).step
    theirs = torch.optim.Adam(parameters(sizes, place), lr=1e-3, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(theirs, 0.9999)

    def both() -> None:
        theirs.step()
        scheduler.step()

    timed(place, ours, times), timed(place, both, times)
    pairs = [(timed(place, ours, times), timed(place, both, times)) for _ in range(15)]
    return statistics.median(a / b for a, b in pairs)


def rows_ratio(device: str, make: Callable[[], Workload], rows: int, steps: int, long: int) -> tuple[float, str]:
    """How many times faster rows are than a torch loop there, and how they were trained."""
    workload = replace(make(), recipe=Recipe(device=device))
    place, paths = workload.recipe.place, decays(rows, steps)
    begun = start(workload, rules.Adam(), [i % 8 for i in range(rows)])
    mode = modes.choose(workload, rules.Adam(), rows, long)

    def ours() -> float:
        return timed(place, lambda: advance(workload, begun, paths, steps, mode=mode), 1) / (rows * steps)

    ours()
    loop = torch_loop(workload, steps, wait=lambda: wait(place))
    times = in_turn({"ours": ours, "torch": loop}, ROUNDS if long == LONG else 1)
    return times_faster(times, "ours", "torch").middle, f"{mode.kind}, width {mode.width}: {mode.reason}"


def suite(device: str, sample: int) -> tuple[bool, str]:
    """Whether torch's optimizer suite agrees, and what it prints; nobody knows after SUITE seconds."""
    script = Path(__file__).parents[1] / "clients" / "torch_suite.py"
    command = [sys.executable, str(script), "--device", device, "--sample", str(sample)]
    try:
        found = subprocess.run(command, check=False, capture_output=True, text=True, timeout=SUITE)
    except subprocess.TimeoutExpired:
        return False, f"torch's suite took longer than {SUITE:.0f} s; try a lower --sample"
    return found.returncode == 0, found.stdout[-6000:] + found.stderr[-2000:]


def measured(device: str, share: float, tell: Callable[[str], None]) -> Iterator[tuple[str, object]]:
    """The figures by name, one after another; how rows were trained is told."""
    place = device_of(device)
    yield "device", f"{name_of(place)}, torch {torch.__version__}"
    for case, (make, most, long) in CASES.items():
        rows, steps = max(8, int(share * most)), max(2, int(share * long))
        ratio, how = rows_ratio(device, make, rows, steps, int(share * LONG))
        tell(f"{case}: {rows} rows, {ratio:.3g} times faster; {how}")
        yield case, float(f"{ratio:.4g}")
    sizes, _, times = STEPS["step_50m"]
    yield "step_vs_torch_fused", round(step_ratio(place, [int(share * size) for size in sizes], 10 * times), 4)
    yield "rows_per_gb", 2**30 // row_bytes(replace(letters(), recipe=Recipe(device=device)), rules.Adam())


@dataclass
class Found:
    """What is known so far, told and kept as it comes."""

    kept: bool
    json: bool
    figures: dict[str, object] = field(default_factory=dict)
    checks: dict[str, bool] = field(default_factory=dict)

    def tell(self, line: str) -> None:
        print(line, file=sys.stderr if self.json else sys.stdout, flush=True)

    def check(self, name: str, holds: Callable[[], bool]) -> None:
        """Whether something holds; one that raises does not, and the others are still looked at."""
        try:
            self.checks[name] = holds()
        except Exception:  # noqa: BLE001 - of whatever a device does
            self.checks[name] = False
            self.tell(traceback.format_exc())
        self.tell(f"{name:32} {'right' if self.checks[name] else 'WRONG'}")
        self._keep()

    def figure(self, name: str, value: object) -> None:
        self.figures[name] = value
        self.tell(f"{name} {value}")
        self._keep()

    def _keep(self) -> None:
        if self.kept:
            day = str(dt.datetime.now(tz=dt.UTC).date())
            found = {"date": day, "figures": self.figures, "checks": self.checks}
            KEPT.write_text(json.dumps(found, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--sample", type=int, default=40, help="runs of a template; 0 leaves the suite out")
    parser.add_argument("--share", type=float, default=1.0, help="of rows, steps and parameters")
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")
    chosen = parser.parse_args()
    try:
        place = device_of(chosen.device)
    except ValueError as error:
        sys.exit(str(error))
    found = Found(kept=chosen.share == 1 and place != CPU, json=chosen.json)
    for name, check in checks(chosen.device).items():
        found.check(name, check)
    exact = all(found.checks.values())
    for name, rule in RULES.items():
        for dtype in fused.DTYPES:
            found.check(f"kernel {name}, {str(dtype)[6:]}", partial(fused.right, rule, dtype, place.type))
    for name, figure in measured(chosen.device, chosen.share, found.tell):
        found.figure(name, figure)
    if chosen.json:
        print(json.dumps(found.figures))
    agrees, told = suite(place.type, chosen.sample) if chosen.sample else (True, "")
    found.tell(told)
    # a kernel that is wrong is not taken; it is no fault of ours
    sys.exit(0 if agrees and exact else 1)


if __name__ == "__main__":
    main()
