"""What each built-in workload is and costs: parameters, splits, milliseconds a step, the mode and its reason.

    python benchmarks/speed/workloads.py [--only digits] [--rows 32] [--json]

Prints the table of docs/workloads.md. Adam, rows of different seeds; "alone" is one run as ordinary PyTorch.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from common import options, show

from tapered import Workload, rules
from tapered.training.advance import LOOP, Mode
from tapered.training.probe import Probe
from tapered.workloads import WORKLOADS
from tapered.workloads.data import MissingDataError

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in WORKLOADS if name != "quadratic"},
    "bmi(loss='mse')": ("bmi", {"loss": "mse"}),
    "surface('ackley')": ("surface", {"name": "ackley"}),
    "counterexample(stochastic=True)": ("counterexample", {"stochastic": True}),
    "diabetes('perceptron')": ("diabetes", {"model": "perceptron"}),
    "fashion_mnist(examples=55000)": ("fashion_mnist", {"examples": 55_000}),
    "mnist1d('recurrent')": ("mnist1d", {"model": "recurrent"}),
    "characters('topics')": ("characters", {"text": "topics"}),
}
HEAD = (
    "| workload | parameters | train / valid / test | steps an epoch | loads in | alone | stacked | mode |\n"
    "|---|--:|--:|--:|--:|--:|--:|---|"
)


def measured(make: Callable[[], Workload], rows: int) -> dict[str, Any]:
    begin = time.perf_counter()
    workload = make()
    found: dict[str, Any] = {"loads in": time.perf_counter() - begin}
    sizes = [len(split) for split in (workload.train, workload.valid, workload.test) if split is not None]
    probe = Probe(workload, rules.Adam())
    fault = probe.fault()
    alone = probe.seconds(LOOP, 1)
    stacked = None if fault else probe.seconds(Mode("rows", rows, ""), rows)
    found |= {
        "parameters": sum(p.numel() for p in workload.build(0).parameters() if p.requires_grad),
        "sizes": " / ".join(f"{size:,}" for size in sizes),
        "steps": workload.steps_per_epoch,
        "alone": 1e3 * alone,
        "stacked": None if stacked is None else 1e3 * stacked,
    }
    if stacked is None:
        return {**found, "mode": f"loop: {fault}"}
    faster = f"{alone / stacked:.1f} times as fast" if stacked < alone else f"{stacked / alone:.1f} times as slow"
    return {**found, "mode": f"{'rows' if stacked < alone else 'loop'}: stacked it is {faster}"}


def line(name: str, of: dict[str, Any]) -> str:
    stacked = "" if of["stacked"] is None else f"{of['stacked']:.3g} ms"
    return (
        f"| `{name}` | {of['parameters']:,} | {of['sizes']} | {of['steps']:,} | {of['loads in']:.1f} s "
        f"| {of['alone']:.3g} ms | {stacked} | {of['mode']} |"
    )


def main() -> None:
    given = options(__doc__, threads=1, rows=32, only="")
    found, lines = {}, [HEAD]
    for name, (function, arguments) in VARIANTS.items():
        if given.only and given.only not in name:
            continue
        try:
            found[name] = measured(lambda f=function, a=arguments: WORKLOADS[f](**a), given.rows)
            lines.append(line(name, found[name]))
        except MissingDataError as error:
            lines.append(f"| `{name}` | {error} |")
    facts = {f"{name}, {key}": of[key] for name, of in found.items() for key in ("parameters", "alone", "stacked")}
    table = f"{given.rows} rows, {torch.get_num_threads()} thread, torch {torch.__version__}\n\n" + "\n".join(lines)
    show(facts, as_json=given.json, table=table)


if __name__ == "__main__":
    main()
