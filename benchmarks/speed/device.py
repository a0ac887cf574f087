"""On a machine with a GPU: which of torch's fused kernels are right there, torch's optimizer suite, and a step's cost.

    python benchmarks/speed/device.py [--sample 40] [--json]

Each kernel is tried against the rule (`tapered.rules.fused.right`). Some runs of every template of torch_suite.py are
compared with torch's optimizers on the GPU. A step with its schedule is timed against torch's fused Adam with
ExponentialLR, in turn, in one process, with the device waited for.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from step import CASES

import tapered
from tapered import rules
from tapered.rules import fused

RULES = {
    "SGD": rules.SGD(),
    "SGD momentum": rules.SGD(momentum=True),
    "Adam": rules.Adam(),
    "AMSGrad": rules.Adam(amsgrad=True),
    "AdamW": rules.Adam(decay="decoupled"),
    "Adagrad": rules.Adagrad(),
}


def parameters(sizes: list[int]) -> list[torch.nn.Parameter]:
    made = [torch.nn.Parameter(torch.randn(size, device="cuda")) for size in sizes]
    for param in made:
        param.grad = torch.randn_like(param)
    return made


def block(step, times: int) -> float:
    torch.cuda.synchronize()
    begin = time.perf_counter()
    for _ in range(times):
        step()
    torch.cuda.synchronize()
    return (time.perf_counter() - begin) / times


def ratio(sizes: list[int], times: int) -> tuple[float, float, float]:
    """Microseconds of tapered's step and of torch's with its scheduler, and the median ratio of neighbouring blocks."""
    ours = tapered.Adam(parameters(sizes), lr=tapered.exponential_decay(1e-3, decay_steps=1, decay_rate=0.9999)).step
    theirs = torch.optim.Adam(parameters(sizes), lr=1e-3, fused=True)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(theirs, 0.9999)

    def both() -> None:
        theirs.step()
        scheduler.step()

    block(ours, 20), block(both, 20)
    pairs = [(block(ours, times), block(both, times)) for _ in range(15)]
    medians = [1e6 * statistics.median(side) for side in zip(*pairs, strict=True)]
    return medians[0], medians[1], statistics.median(a / b for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=40, help="runs of a template")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    chosen = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("no GPU here")
    right = {name: {str(d)[6:]: fused.right(rule, d, "cuda") for d in fused.DTYPES} for name, rule in RULES.items()}
    steps = {name: ratio(sizes, 200 if len(sizes) > 1 else 20) for name, (sizes, *_) in CASES.items()}
    suite = [sys.executable, str(Path(__file__).parents[1] / "clients" / "torch_suite.py"), "--device", "cuda"]
    found = subprocess.run(
        [*suite, "--sample", str(chosen.sample), *(["--json"] if chosen.json else [])],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    device = f"{torch.cuda.get_device_name()}, torch {torch.__version__}"
    if chosen.json:
        print(json.dumps({"device": device, "right": right, "steps": steps, "suite": json.loads(found.stdout)}))
    else:
        print(device)
        for name, verdicts in right.items():
            print(f"{name:14}", *(f"{dtype} {'right' if ok else 'WRONG'}" for dtype, ok in verdicts.items()), sep="  ")
        for name, (ours, theirs, part) in steps.items():
            print(f"{name:14}  tapered {ours:.1f} us  torch {theirs:.1f} us  ratio {part:.3f}")
        print(found.stdout[-6000:])
    print(found.stderr[-2000:], file=sys.stderr)
    sys.exit(found.returncode)


if __name__ == "__main__":
    main()
