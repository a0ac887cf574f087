"""What a study's numbers depend on, as text: a folder that holds others is refused."""

import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

from tapered import kind
from tapered.study.file.question import TEXTS
from tapered.study.file.read import Stated
from tapered.study.file.script import Scripted


def environment(stated: Stated | None = None) -> dict[str, str]:
    """Versions and machine, as a report states them; of a script the commit that its folder stands at, too."""
    names = ("tapered", "torch", "numpy", "scipy", "optuna")
    return {name: _version(name) for name in names} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "vectors": torch.backends.cpu.get_cpu_capability(),
        **({"device": " and ".join(kind.USED)} if kind.USED else {}),
        **({"commit": commit} if stated and (commit := _commit(stated)) else {}),
    }


def _commit(stated: Stated) -> str:
    """What git says of the folder of a script; nothing where there is none."""
    if not isinstance(stated.subject, Scripted):
        return ""
    asked = ["git", "-C", str(stated.subject.folder or Path()), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, timeout=10, check=True).stdout.strip()  # noqa: S603
    except (OSError, subprocess.SubprocessError):
        return ""


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


# fields that no number follows from, or that are facts of their own
UNBOUND = {"arms", "kinds", "workers", "device", "executor", "ledger", "script", *TEXTS}


def shared_facts(stated: Stated) -> dict[str, str]:
    """What every run depends on, whatever processor trains it."""
    return {
        "steps": str(stated.steps),
        **_subject_facts(stated),
        **{f"code.{name}": digest for name, digest in stated.code.items()},
        "versions": f"tapered {_version('tapered')}, torch {torch.__version__}, numpy {np.__version__}",
    }


def _subject_facts(stated: Stated) -> dict[str, str]:
    if isinstance(stated.subject, Scripted):
        return {f"script.{name}": text for name, text in stated.data.items()}
    data = {f"workload.{name}": text for name, text in stated.data.items() if name != "weights"}
    return data | {"workload.file": stated.source[:20]}


def frozen_facts(stated: Stated) -> dict[str, str]:
    """What every number of the study depends on beside that, field -> text."""
    study = stated.study.model_dump(mode="json", exclude_none=True, exclude=UNBOUND)
    facts = {f"study.{name}": str(value) for name, value in study.items()}
    for i, arm in enumerate(stated.study.arms):
        fields = arm.model_dump(mode="json", exclude_none=True)
        facts |= {f"study.arms.{i}.{name}": str(value) for name, value in fields.items()}
    if stated.study.tune is not None:  # another version may ask for other trials
        facts["search"] = f"optuna {_version('optuna')}"
    script = isinstance(stated.subject, Scripted)
    facts["results"] = ("runs of a script" if script else "bundles of rows") + (
        ", nothing pruned" if stated.whole else ""
    )
    # other vector instructions draw other weights
    weights = {} if script else {kind.WEIGHTS: stated.data["weights"]}
    return facts | {kind.TRAINED: kind.text(kind.here())} | weights
