"""`make device` where there is no device: the same script on the processor, at a thousandth of its size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed" / "device.py"


def ran(*options):
    command = [sys.executable, str(SCRIPT), "--share", "0.001", "--sample", "0", "--json", *options]
    return subprocess.run(command, check=False, capture_output=True, text=True)


def test_the_checks_hold_and_the_figures_are_there():
    kept = SCRIPT.parents[1] / "measured-device.json"
    before = kept.read_bytes() if kept.exists() else None
    done = ran("--device", "cpu")
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures.pop("device") == f"cpu, torch {torch.__version__}"
    ratios = {f"{name}_vs_torch" for name in ("mlp", "cnn", "transformer")}
    assert figures.keys() == {*ratios, "step_vs_torch_fused", "rows_per_gb"}
    assert all(value > 0 for value in figures.values())
    said = [line for line in done.stderr.splitlines() if line.startswith(("fork", "rows of", "resume", "skipped"))]
    assert len(said) == 8
    assert all(line.endswith("right") for line in said)
    assert (kept.read_bytes() if kept.exists() else None) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_without_a_gpu_it_says_so():
    done = ran()
    assert done.returncode == 1
    assert done.stderr.strip().startswith('got device="cuda", which is not here; torch finds ')
