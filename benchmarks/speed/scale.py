"""A whole study in one process: against Optuna with a loop in one, and against another checkout of this source.

    python benchmarks/speed/scale.py [--json] [--study bmi-full] [--rounds 2] [--sample 6] [--before DIR]

Each side is a process of its own from its start to the verdict, cold: no graph that an earlier one compiled, no folder
to go on with. The sides run in turn, and a ratio is of neighbours. `study_vs_optuna` is how many times faster we are,
`study_vs_before` the share that we take of the time of the checkout in DIR, `study_two_vs_before` with two workers;
beside them stand those of the processors' time.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import in_turn, options, show, spread, times_faster
from rows import whole_study

PROGRAM = """
import importlib, sys
try:
    program = importlib.import_module("tapered.cli.main")
except ImportError:  # of an earlier checkout
    program = importlib.import_module("tapered.cli")
sys.exit(program.main())
"""
HERE = Path(__file__).parents[2]


def cold(source: Path, study: str, *more: str) -> tuple[float, float]:
    """Seconds of a study by a checkout's command line, and seconds of the processors in it and in what it started."""
    with tempfile.TemporaryDirectory() as folder:
        # torch keeps its precompiled headers in the folder of temporary files, wherever its cache is
        empty = {"TORCHINDUCTOR_CACHE_DIR": f"{folder}/compiled", "TMPDIR": folder}
        fresh = os.environ | empty | {"PYTHONPATH": str(source / "src")}
        command = [sys.executable, "-c", PROGRAM, "study", study, "--store", f"{folder}/study", "--json", *more]
        begun, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=fresh, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processors = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return time.perf_counter() - begun, processors


def study_vs_optuna(study: str, rounds: int, sample: int) -> tuple[float, list[str]]:
    """How many times faster a study is than as many steps in a loop under Optuna."""
    faster, lines = whole_study(study, sample, rounds)
    return faster.middle, lines


def study_vs_before(study: str, rounds: int, before: str) -> tuple[dict[str, float | None], list[str]]:
    """The shares that a study takes of its time in another checkout, in one process and by two workers; or None."""
    keys = {"now": "study_vs_before", "two": "study_two_vs_before"}
    if not before:
        return dict.fromkeys(keys.values()), ["no other checkout: --before DIR"]
    used: dict[str, list[float]] = {"before": [], **{side: [] for side in keys}}

    def side(name: str) -> float:
        source = Path(before).resolve() if name == "before" else HERE
        taken, processors = cold(source, study, *(["--workers", "2"] if name == "two" else []))
        used[name].append(processors)
        return taken

    times = in_turn({name: lambda name=name: side(name) for name in used}, rounds)
    shares = {name: times_faster(times, "before", name) for name in keys}
    return {key: shares[name].middle for name, key in keys.items()}, [
        f"study {study}, cold: {', '.join(f'{name} {spread(taken)} s' for name, taken in times.items())}",
        *(
            f"    {name}: share {shares[name]}; of the processors' {times_faster(used, 'before', name)}"
            for name in keys
        ),
    ]


def main() -> None:
    given = options(__doc__, study="bmi-full", rounds=2, sample=6, before="")
    found, lines = study_vs_before(given.study, given.rounds, given.before)
    found["study_vs_optuna"], more = study_vs_optuna(given.study, given.rounds, given.sample)
    lines += more
    show(found, as_json=given.json, table="\n".join(lines))


if __name__ == "__main__":
    main()
