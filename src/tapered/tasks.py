"""What a study's numbers depend on, and its runs as tasks: cells of (arm, peak), at seeds.

frozen_facts(loaded) ─► the folder's hash, what it refuses        forest_of(loaded) ─► the runs that the file states
"""

import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from tapered import kind
from tapered.forest import Forest, Task
from tapered.load import Loaded
from tapered.runs import Run, run_key
from tapered.study_file import Arm
from tapered.workload import Workload

Cell = tuple[Arm, float | None]


def environment() -> dict[str, str]:
    """Versions and machine, as a report states them."""
    names = ("tapered", "torch", "numpy", "scipy", "optuna")
    return {name: _version(name) for name in names} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "vectors": torch.backends.cpu.get_cpu_capability(),
    }


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


def frozen_facts(loaded: Loaded) -> dict[str, str]:
    """What every number of the study depends on, field -> text."""
    study = loaded.study.model_dump(mode="json", exclude_none=True, exclude={"arms", "kinds"})
    facts = {f"study.{name}": str(value) for name, value in study.items()}
    for i, arm in enumerate(loaded.study.arms):
        fields = arm.model_dump(mode="json", exclude_none=True)
        facts |= {f"study.arms.{i}.{name}": str(value) for name, value in fields.items()}
    if loaded.study.tune is not None:  # another version may ask for other trials
        facts["search"] = f"optuna {_version('optuna')}"
    kept = "bundles of rows, nothing pruned" if loaded.whole else "bundles of rows"
    weights = _fingerprint(loaded.workload)["weights"]  # which other vector instructions draw otherwise
    here = {kind.TRAINED: kind.text(kind.here()), kind.WEIGHTS: weights}
    return facts | {"results": kept} | here | _shared_facts(loaded)


def _shared_facts(loaded: Loaded) -> dict[str, str]:
    """What every run depends on, whatever processor trains it."""
    return {
        "steps": str(loaded.steps),
        **{f"workload.{name}": text for name, text in _fingerprint(loaded.workload).items() if name != "weights"},
        "workload.file": loaded.source[:20],
        **{f"code.{name}": digest for name, digest in loaded.code.items()},
        "versions": f"tapered {_version('tapered')}, torch {torch.__version__}, numpy {np.__version__}",
    }


@lru_cache(maxsize=8)  # it reads all data, and every round of a study asks for it
def _fingerprint(workload: Workload) -> dict[str, str]:
    return workload.fingerprints()


def evaluation_steps(loaded: Loaded) -> list[int]:
    """The steps at which every run is evaluated: 0, the last, and evenly between."""
    n = loaded.study.evaluations
    return sorted({round(i * loaded.steps / n) for i in range(n + 1)})


def cells_of(loaded: Loaded) -> list[Cell]:
    """Every arm at every peak that the study has, arms first."""
    return [(arm, peak) for arm in loaded.study.arms for peak in loaded.study.peaks_of(arm)]


def forest_of(
    loaded: Loaded, cells: Sequence[Cell] | None = None, seeds: Sequence[int] | None = None, *, shared: bool = True
) -> Forest:
    """Every run of the study that its file states, arms first, then peaks, then seeds; or those of cells and seeds.

    Args:
        loaded: The study.
        cells: Arms and peaks, in the place of all.
        seeds: Seeds, in the place of the file's.
        shared: False plans each run by itself.
    """
    facts = {**_shared_facts(loaded), "evaluations": evaluation_steps(loaded), "threads": loaded.study.threads}
    seeds = loaded.study.seed_values if seeds is None else seeds
    cells = cells_of(loaded) if cells is None else cells
    tasks = [task for arm, peak in cells for task in _tasks(facts, loaded, arm, peak, seeds)]
    return Forest(loaded.workload, tuple(tasks), tuple(evaluation_steps(loaded)), shared, loaded.study.mode)


def _tasks(
    facts: Mapping[str, object], loaded: Loaded, arm: Arm, peak: float | None, seeds: Iterable[int]
) -> Iterator[Task]:
    """The runs of an arm at a peak, which have one path."""
    rule, path = arm.build(), arm.path(loaded.steps, peak)
    fields = arm.at(peak).model_dump(mode="json", exclude={"peaks", "space", "trials"}, exclude_none=True)
    fields["lr"] = str(arm.schedule(loaded.steps, peak))
    for seed in seeds:
        key = run_key({**facts, "metric": loaded.study.metric, "arm": fields, "peak": peak, "seed": seed})
        yield Task(Run(key, arm.name, peak, seed, loaded.steps), rule, path)


def default_folder(loaded: Loaded, root: Path = Path("studies")) -> Path:
    """A folder for exactly this study: its name, and a hash of everything that its numbers depend on."""
    slug = re.sub(r"[^a-z0-9]+", "-", loaded.study.name.lower()).strip("-")[:40] or "study"
    # on another kind of processor it is the same study, which goes on or refuses to
    facts = {name: text for name, text in frozen_facts(loaded).items() if name not in (kind.TRAINED, kind.WEIGHTS)}
    return root / f"{slug}-{run_key(facts)[:8]}"


@contextmanager
def threads(loaded: Loaded) -> Iterator[None]:
    """Torch with the study's number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(loaded.study.threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)
