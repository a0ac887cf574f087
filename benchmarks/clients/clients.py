"""Training frameworks, each through, and killed with SIGKILL and resumed as it resumes, in another process.

Each with a tapered schedule (tapered's AdamW, and attach on torch's), and with a number as rate under the framework's
own schedulers and finders. Beside each, the same framework with torch's AdamW and LambdaLR of the same curve, or the
same scheduler: the rates that each update used, the rates that the framework logged, and the weights are compared.

Every framework has its module in trainers/, of the same interface: CASES, train(run). What is not installed is a row
that says so; trainers/requirements.txt names what this was run with: `make clients` installs it, and runs this.
"""

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from trainers.compare import compared

FRAMEWORKS = {  # module of trainers/ -> what it is called where it is installed from
    "script": "torch",
    "transformers": "transformers",
    "trl": "trl",
    "peft": "peft",
    "accelerate": "accelerate",
    "lightning": "lightning",
    "lightning_tuning": "lightning",
    "ignite": "pytorch-ignite",
    "skorch": "skorch",
    "fastai": "fastai",
    "composer": "mosaicml",
    "catalyst": "catalyst",
    "torchtnt": "torchtnt",
    "torch_lr_finder": "torch-lr-finder",
}


@dataclass(frozen=True)
class Row:
    """One case of one framework with one optimizer; differences are None where there is nothing to compare."""

    framework: str
    version: str | None
    case: str | None
    optimizer: str | None
    verdict: str  # right, right: refused, wrong: why, failed: where and of what, not installed
    updates: int | None = None
    used: float | None = None  # the rates that updates used, from the closed form (schedules) or torch's (numbers)
    logged: float | None = None  # the rates that the framework logged, from those that it logs with torch's AdamW
    weights: float | None = None  # from those with torch's AdamW, relative
    resumed: float | None = None  # weights of the killed and resumed run, from those in one go
    torch_resumed: float | None = None  # the same with torch's AdamW


def version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def rows_of(name: str, package: str, only: str) -> list[Row]:
    found = version(package)
    if found is None:
        return [Row(name, None, None, None, "not installed")]
    with tempfile.TemporaryDirectory() as place:
        for part in ("first", "second"):
            words = [sys.executable, str(Path(__file__).parent / "trainers" / "children.py"), name, place, part, only]
            ended = subprocess.run(words, capture_output=True, text=True, check=False)
            if ended.returncode:
                said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
                return [Row(name, found, None, None, f"failed: not imported here: {said[:160]}")]
        return [Row(name, found, case, kind, **asdict(result)) for case, kind, result in compared(Path(place))]


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.0e}" if value else "0"


def table(rows: list[Row]) -> str:
    columns = f"{'updates':>7} {'used':>6} {'logged':>6} {'weights':>7} {'resumed':>7}  verdict"
    lines = [f"{'framework':24} {'case':43} {'optimizer':9} {columns}"]
    for row in rows:
        if row.case is None:
            lines.append(f"{row.framework:24} {row.verdict}")
            continue
        figures = f"{row.updates or '-':>7} {number(row.used):>6} {number(row.logged):>6} {number(row.weights):>7}"
        name = f"{row.framework} {row.version}"
        too = f" (torch's AdamW is resumed {number(row.torch_resumed)} off)" if row.torch_resumed else ""
        lines.append(
            f"{name:24} {row.case:43} {row.optimizer:9} {figures} {number(row.resumed):>7}  {row.verdict}{too}"
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print the list of rows as JSON")
    parser.add_argument("--only", action="append", help="a framework; may be said again")
    parser.add_argument("--case", default="", help="cases whose name begins so")
    asked = parser.parse_args()
    rows = []
    for name, package in FRAMEWORKS.items():
        if not asked.only or name in asked.only:
            rows += rows_of(name, package, asked.case)
    print(json.dumps([asdict(row) for row in rows], indent=1) if asked.json else table(rows))
    return int(any(row.verdict.startswith(("wrong", "failed")) for row in rows))


if __name__ == "__main__":
    sys.exit(main())
