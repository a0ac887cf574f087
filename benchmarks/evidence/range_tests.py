"""What a range test says beside what a study finds: do the proposed peaks hold the best ones of 600 steps?

    python benchmarks/evidence/range_tests.py [--json] [--store FOLDER] [--workloads bmi,digits]

For each workload and rule the default range test, and a study of 13 peaks from 1e-5 to 10 and 3 seeds, of a constant
rate and of one that falls linearly to zero. Counted is in how many cases the best peak lies within `curve.span`, and
within the three suggestions.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tapered import rules
from tapered.range_test import range_test
from tapered.study import conclude, open_store, plan_of, read, train_runs
from tapered.workloads.find import workload_of

sys.path.insert(0, str(Path(__file__).parents[1] / "speed"))
from common import options, show  # where it is

PERCEPTRON = {"model": "perceptron", "batch_size": 32}
CASES = [
    ("bmi", {}, "Adam"),
    ("bmi", {}, "SGD"),
    ("mnist1d", PERCEPTRON, "Adam"),
    ("mnist1d", PERCEPTRON, "SGD"),
    ("noisy_quadratic", {}, "Adam"),
    ("noisy_quadratic", {}, "SGD"),
    ("digits", {}, "Adam"),
    ("digits", {}, "SGD"),
    ("diabetes", {}, "Adam"),
    ("breast_cancer", {}, "Adam"),
]
ARMS = {"constant": "constant(1.0)", "linear": "linear(steps=steps)"}
FILE = """
name = "{name}"
workload = "{name}"
workload_options = {{ {options} }}
steps = 600
seeds = 3
metric = "loss"
baseline = "constant"
peaks = {{ low = 1e-5, high = 10.0, count = 13 }}
"""
ARM = '[[arms]]\nname = "{arm}"\nrule = "{rule}"\nlr = "{lr}"\n'


def best(name: str, of: dict[str, object], rule: str, folder: Path) -> dict[str, float]:
    """The best peak of each arm, by a study."""
    stated = ", ".join(
        f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}" for key, value in of.items()
    )
    text = FILE.format(name=name, options=stated) + "".join(
        ARM.format(arm=a, rule=rule, lr=lr) for a, lr in ARMS.items()
    )
    file = folder / f"{name}-{rule}.toml"
    file.write_text(text)
    planned = plan_of(read(str(file)))
    with open_store(planned, folder / f"{name}-{rule}") as store:
        found = conclude(planned, store, train_runs(planned, store))
    return {arm.name: arm.best.peak for arm in found.arms}


def within(peak: float, rates: Sequence[float]) -> bool:
    return min(rates) <= peak <= max(rates)


def main() -> None:
    """Trains and counts."""
    given = options(__doc__, threads=1, store="", workloads=",".join(dict.fromkeys(name for name, _, _ in CASES)))
    lines, counts = [], dict.fromkeys((f"{arm}, {of}" for arm in ARMS for of in ("span", "suggestions")), 0)
    cases = [one for one in CASES if one[0] in given.workloads.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        for name, of, rule in cases:
            curve = range_test(workload_of(name, of)[0], getattr(rules, rule)())
            said = [one.rate for one in curve.suggestions if one.rate is not None]
            peaks = best(name, of, rule, Path(given.store or temporary))
            for arm, peak in peaks.items():
                counts[f"{arm}, span"] += within(peak, curve.span)
                counts[f"{arm}, suggestions"] += within(peak, said)
            rates = ", ".join(f"{rate:.2g}" for rate in said)
            span = " to ".join(f"{rate:g}" for rate in curve.span)
            lines.append(f"{name:16}{rule:6}{rates:24}{span:18}" + "  ".join(f"{a} {p:.3g}" for a, p in peaks.items()))
    lines += [f"{what}: {count} of {len(cases)}" for what, count in counts.items()]
    show(counts, as_json=given.json, table="\n".join(lines))


if __name__ == "__main__":
    main()
