"""Rows trained as one program, against a torch loop, against optax, and a whole study against Optuna with a loop.

    python benchmarks/speed/rows.py [--json] [--jax-python PATH] [--rounds 5]

Both sides run in turn on one machine, several rounds; each ratio is a median with its quartiles. What is compared is
the time of one update of one row once everything is compiled; the first call, which compiles, is stated apart. The
study is timed whole, compilation included, and the loop's side of it on a sample of its runs, extrapolated.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from common import Spread, decays, digits, in_turn, letters, options, perceptron, show, spread, times_faster, torch_loop

from tapered import Workload, rules
from tapered.study import plan_of, read
from tapered.training.advance import advance
from tapered.training.modes import choose
from tapered.training.rows import start
from tapered.training.rows import tabulate as table_of
from tapered.workloads import mnist1d

HERE = Path(__file__).parent
LONG = 100_000  # the steps that the mode is chosen for; so many that compiling pays
CASES: dict[str, tuple[Callable[[], Workload], int, int, int]] = {  # workload, rows, seeds, steps of a measurement
    "mlp_vs_torch": (perceptron, 256, 8, 500),
    "cnn_vs_torch": (digits, 32, 8, 50),
    "mnist1d_vs_torch": (mnist1d, 32, 8, 20),  # whose rows show what kept memory spares
    "transformer_vs_torch": (letters, 16, 8, 10),
}


def rows_of(workload: Workload, count: int, seeds: int, steps: int) -> tuple[Callable[[], float], float, str]:
    """Seconds an update of a row, the seconds that the first call takes, and the mode."""
    rows, paths = start(workload, rules.Adam(), [i % seeds for i in range(count)]), decays(count, LONG)
    begun = time.perf_counter()
    mode = choose(workload, rules.Adam(), count, LONG)

    def measure() -> float:
        begun = time.perf_counter()
        advance(workload, rows, paths, steps, mode=mode)
        return (time.perf_counter() - begun) / (count * steps)

    measure()
    return measure, time.perf_counter() - begun, f"{mode.kind}, width {mode.width}: {mode.reason}"


class Optax:
    """The same perceptron under jit(vmap(scan)), in a process of its own that measures when it is asked."""

    def __init__(self, python: str, rows: int, seeds: int, steps: int) -> None:
        command = [python, str(HERE / "optax_rows.py"), str(rows), str(seeds), str(steps)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.first = json.loads(self.process.stdout.readline() or "null")

    def __call__(self) -> float:
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


def compare(rounds: int, jax_python: str) -> tuple[dict[str, Spread | None], list[str]]:
    found: dict[str, Spread | None] = {}
    lines = []
    for case, (make, rows, seeds, steps) in CASES.items():
        workload = make()
        ours, first, mode = rows_of(workload, rows, seeds, steps)
        sides = {"ours": ours, "torch": torch_loop(workload, steps)}
        lines += [f"{workload.name}, {rows} rows of {seeds} seeds: {mode}; first call {first:.1f} s"]
        if case == "mlp_vs_torch":
            optax = Optax(jax_python, rows, seeds, steps)
            sides |= {} if optax.first is None else {"optax": optax}
            lines += ["    no optax: pip install 'tapered[bench]', or --jax-python PATH" if optax.first is None
                      else f"    optax's first call {optax.first:.1f} s"]  # fmt: skip
            found["mlp_vs_optax"] = None
        times = in_turn(sides, rounds)
        for name, values in times.items():
            lines += [f"    {name:6} {spread([1e6 * value for value in values])} us an update of a row"]
        for name in sides.keys() - {"ours"}:
            found[f"{case[: case.index('_')]}_vs_{name}"] = ratio = times_faster(times, "ours", name)
            lines += [f"    times faster than {name:6} {ratio}"]
    return found, lines


def optuna_run(study, loaded, arm, peak: float, seed: int) -> None:
    """One run as people write it: a trial, a plain loop with a LambdaLR, evaluations reported as it goes."""
    workload, steps = loaded.workload, loaded.steps
    rates = table_of(arm.build(), steps, lr=arm.schedule(steps, 1.0)).hypers["lr"].tolist()
    marks = {round(i * steps / loaded.study.evaluations) for i in range(loaded.study.evaluations + 1)}
    trial = study.ask()
    trial.suggest_categorical("arm", [each.name for each in loaded.study.arms])
    model = workload.build(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=peak, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: rates[min(k, steps - 1)])
    (inputs, targets), (held_out, labels) = workload.train.tensors, workload.valid.tensors
    size, epoch = workload.batch_size, workload.steps_per_epoch
    loss = torch.zeros(())
    for step in range(steps):
        if step % epoch == 0:
            order = torch.randperm(len(inputs))
        indices = order[step % epoch * size :][:size]
        optimizer.zero_grad()
        workload.loss(model(inputs[indices]), targets[indices]).backward()
        optimizer.step()
        scheduler.step()
        if step + 1 in marks:
            with torch.no_grad():
                loss = workload.loss(model(held_out), labels)
            trial.report(loss.item(), step + 1)
    study.tell(trial, loss.item())


def optuna_seconds(loaded, sample: int) -> list[float]:
    """Seconds of each run of a sample, evenly spaced over arms, peaks and seeds."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    every = [
        (arm, peak, seed)
        for arm in loaded.study.arms
        for peak in loaded.study.peaks_of(arm)
        for seed in loaded.study.seed_values
    ]
    taken = []
    with tempfile.TemporaryDirectory() as folder:
        study = optuna.create_study(storage=f"sqlite:///{folder}/ledger.db")
        for run in every[len(every) // (2 * sample) :: len(every) // sample][:sample]:
            begun = time.perf_counter()
            optuna_run(study, loaded, *run)
            taken.append(time.perf_counter() - begun)
    return taken


def whole_study(file: str, sample: int, rounds: int) -> tuple[Spread, list[str]]:
    """A study by the command line, from its start to its verdict, and as many steps in a loop."""
    loaded = plan_of(read(file))
    asked: list[float] = []

    def ours() -> float:
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            program = [sys.executable, "-c", "import sys, tapered.cli.main; sys.exit(tapered.cli.main.main())"]
            fresh = os.environ | {
                "TORCHINDUCTOR_CACHE_DIR": f"{folder}/compiled"
            }  # no program that an earlier run left
            command = [*program, "study", file, "--store", f"{folder}/study", "--json"]
            printed = subprocess.check_output(command, env=fresh)
            taken = time.perf_counter() - begun
        asked.append(json.loads(printed)["updates"] / loaded.steps)  # of the grid, beyond its edges, of fresh seeds
        return taken

    def loop() -> float:
        taken = optuna_seconds(loaded, sample)
        return sum(taken) / len(taken)

    alone = in_turn({"ours": ours, "optuna": loop}, rounds)
    times = alone | {"optuna": [asked[0] * a_run for a_run in alone["optuna"]]}
    faster = times_faster(times, "ours", "optuna")
    shown = {name: ", ".join(f"{value:.1f}" for value in values) for name, values in times.items()}
    return faster, [
        f"study {file}: {asked[0]:.0f} runs of {loaded.steps} steps",
        f"    tapered {shown['ours']} s, whole, from start of the process to the verdict",
        f"    Optuna with a loop {shown['optuna']} s, extrapolated from {sample} of the grid's runs each time",
        f"    times faster {faster}",
    ]


def main() -> None:
    given = options(__doc__, jax_python=sys.executable, rounds=5, study="bmi-full", sample=6, study_rounds=2)
    found, lines = compare(given.rounds, given.jax_python)
    found["study_vs_optuna"], more = whole_study(given.study, given.sample, given.study_rounds)
    ratios = {name: None if value is None else value.middle for name, value in found.items()}
    show(ratios, as_json=given.json, table="\n".join([f"{given.threads} threads", *lines, *more]))


if __name__ == "__main__":
    main()
