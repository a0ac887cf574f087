"""All benchmarks of speed in turn, the page that they make, docs/speed.md, and README's table.

    python benchmarks/speed/table.py [--jax-python PATH] [--only [rows.py plan.py]]

Each runs as a process of its own; what it prints stands in the page whole, medians with their quartiles. The figures
are kept in measured.json, each with its date and machine: `--only` measures some again and leaves the rest as it was.
"""

import argparse
import datetime as dt
import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import torch

HERE = Path(__file__).parent
KEPT = HERE / "measured.json"
PAGE = HERE.parents[1] / "docs" / "speed.md"
README = HERE.parents[1] / "README.md"
HEAD = "| what | against | aimed at | measured |"
# script and figure -> what is measured, against what, what was aimed at, how the figure reads
LOOP = "a torch loop, fused Adam + `ExponentialLR`"
ROWS = [
    (
        "step.py",
        "step_20x1000",
        "one step with its schedule, 20 tensors of 1,000",
        LOOP,
        "<= 1.0",
        "{:.2f} of its time",
    ),
    ("step.py", "step_50m", "the same, one tensor of 50 million", "the same", "<= 1.0", "{:.2f} of its time"),
    ("attach.py", "attach_ratio", "`attach` on a fused step, 1M", "the step alone", "<= 1.02", "{:.3f} of its time"),
    ("rows.py", "mlp_vs_torch", "perceptron 2-32-32-2, 256 rows", LOOP, ">= 60", "{:.0f} times faster"),
    ("rows.py", "mlp_vs_optax", "the same", "optax under `jit(vmap(scan))`", ">= 2", "{:.2f} times faster"),
    ("rows.py", "cnn_vs_torch", "convolutions on 8x8 pictures, 32 rows", "a torch loop", ">= 4", "{:.1f} times faster"),
    (
        "rows.py",
        "transformer_vs_torch",
        "transformer of two layers, 16 rows",
        "a torch loop",
        ">= 1.7",
        "{:.1f} times faster",
    ),
    (
        "prefix.py",
        "steps_ratio",
        "11 schedules that hold, then decay, 32 seeds",
        "each alone",
        "3.14",
        "{:.2f} times fewer steps",
    ),
    ("prefix.py", "time_ratio", "the same, the same bits", "each alone, as rows", ">= 2.8", "{:.2f} times faster"),
    (
        "rows.py",
        "study_vs_optuna",
        "`tapered study bmi-full`",
        "Optuna + a torch loop",
        ">= 100",
        "{:.0f} times faster",
    ),
    ("plan.py", "seconds", "tabulating and planning 1,000 runs of 100,000 steps", "", "< 10", "{:.1f} s"),
    ("plan.py", "peak_mb", "its memory", "", "< 2,000", "{:,.0f} MB"),
]
SCRIPTS = ("step.py", "attach.py", "plan.py", "prefix.py", "rows.py", "growth.py")


def measured(script: str, more: list[str]) -> dict:
    """A benchmark's figures, what it prints, when and where it ran."""
    command = [sys.executable, str(HERE / script), "--json", *more]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    print(done.stderr, file=sys.stderr, flush=True)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"
    where = f"{machine}, torch {torch.__version__}, Python {platform.python_version()}"
    figures = json.loads(done.stdout.splitlines()[-1])
    return {"date": str(dt.datetime.now(tz=dt.UTC).date()), "machine": where, "figures": figures,
            "printed": done.stderr.strip()}  # fmt: skip


def table(found: dict[str, dict]) -> list[str]:
    """The rows of the table, as the page and README show them."""
    lines = [HEAD, "|---|---|---|---|"]
    for script, figure, what, against, aim, reads in ROWS:
        value = found.get(script, {}).get("figures", {}).get(figure)
        lines.append(f"| {what} | {against} | {aim} | {'not measured' if value is None else reads.format(value)} |")
    return lines


def page(found: dict[str, dict]) -> str:
    lines = ["# Speed", "", "Made by `make bench`. Both sides of a ratio run in turn on one machine; medians.", ""]
    lines += table(found)
    for script in (each for each in SCRIPTS if each in found):
        run = found[script]
        lines += ["", f"## `benchmarks/{script}`", "", f"{run['date']}: {run['machine']}.", ""]
        lines += ["```", run["printed"], "```"]
    return "\n".join(lines) + "\n"


def quoted(text: str, rows: list[str]) -> str:
    """README with these rows in the place of its table of speed."""
    lines = text.split("\n")
    begin = lines.index(HEAD)
    end = next(i for i in range(begin, len(lines)) if not lines[i].startswith("|"))
    return "\n".join([*lines[:begin], *rows, *lines[end:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jax-python", default=sys.executable)
    parser.add_argument("--only", nargs="*", choices=SCRIPTS, default=SCRIPTS)
    given = parser.parse_args()
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for script in given.only:
        found[script] = measured(script, ["--jax-python", given.jax_python] if script == "rows.py" else [])
        KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    written = page(found)
    if PAGE.exists() and "\n## Why" in (before := PAGE.read_text()):  # what a person wrote of it stays
        written += before[before.index("\n## Why") :]
    PAGE.write_text(written)
    README.write_text(quoted(README.read_text(), table(found)))


if __name__ == "__main__":
    main()
