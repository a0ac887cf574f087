"""Studies of torch scripts within the witness: as the same problem as a workload, and refused where rates differ."""

import math
import re

import pytest
import torch
from study_cases import finished, read

from tapered.rules import Adam
from tapered.study.script.errors import RefusedRunError
from tapered.study.train.executor import Here
from tapered.training.rows import start
from tapered.training.workload import Workload

PROBLEM = """
import torch
from torch.utils.data import TensorDataset
from tapered import Workload
x = torch.linspace(-2, 2, 96).view(-1, 1)
y = x.sin() + 0.3 * torch.cos(37 * x)
problem = Workload(
    name="waves", model=lambda: torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)),
    loss=torch.nn.functional.mse_loss, train=TensorDataset(x[::2], y[::2]), valid=TensorDataset(x[1::2], y[1::2]),
    batch_size=8,
)
"""
# knows neither tapered nor the workload: its data, batches and initial weights come from a file a seed
SCRIPT = """
import argparse, json, os, torch
p = argparse.ArgumentParser()
p.add_argument("--lr", type=float)
p.add_argument("--seed", type=int)
p.add_argument("--steps", type=int)
p.add_argument("--out")
a = p.parse_args()
torch.set_num_threads(1)
given = torch.load(f"seed-{a.seed}.pt")
model = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1))
model.load_state_dict(given["weights"])
optimizer = torch.optim.Adam(model.parameters(), lr=a.lr)
with open(f"{a.out}/log.csv", "w", buffering=1) as log:
    log.write("step,loss\\n")
    for step in range(a.steps):
        x, y = given["batches"][step]
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(model(x), y).backward()
        optimizer.step()
        if (step + 1) % 10 == 0:
            x, y = given["valid"]
            log.write(f"{step + 1},{torch.nn.functional.mse_loss(model(x), y).item()}\\n")
"""
STEPS = 20
HEAD = f'name = "waves"\nsteps = {STEPS}\nseeds = 2\nevaluations = 2\nbaseline = "constant"\n'
PEAKS = "peaks = { low = 0.03, high = 0.03, count = 1 }\n"
ARMS = [("constant", "constant(1.0)"), ("linear", "linear(steps=steps)")]
TABLE = """executor = { workers = 2 }
[script]
command = "{python} train.py --lr {peak} --seed {seed} --steps {steps} --out {out}"
metrics = "csv:{out}/log.csv"
rate = "set"
retries = 0
"""


def arms(given, rule=""):
    return "".join(f'[[arms]]\nname = "{name}"\nlr = "{lr}"\n{rule}' for name, lr in given)


def items(data, places):
    """The inputs and targets at some places of a dataset."""
    return tuple(torch.stack(parts) for parts in zip(*(data[int(place)] for place in places), strict=True))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "problem.py").write_text(PROBLEM)
    (tmp_path / "train.py").write_text(SCRIPT)
    text = HEAD + 'workload = "problem.py:problem"\nmode = "loop"\n' + PEAKS + arms(ARMS, 'rule = "Adam"\n')
    found = read(tmp_path, text)
    problem: Workload = found.workload
    for seed in range(2):
        rows = start(problem, Adam(), [seed])
        weights = {name: value[0].clone() for name, value in rows.params.items()}
        batches = [items(problem.train, problem.batch(seed, step)) for step in range(STEPS)]
        valid = items(problem.valid, range(len(problem.valid)))
        torch.save({"weights": weights, "batches": batches, "valid": valid}, tmp_path / f"seed-{seed}.pt")
    return tmp_path, found


def test_a_study_of_a_script_says_what_the_same_study_of_a_workload_says(folder):
    path, by_workload = folder
    ours, said = finished(by_workload, path / "workload", executor=Here())
    script = read(path, HEAD + PEAKS + TABLE + arms(ARMS))
    theirs, same = finished(script, path / "script")
    for one, other in zip(ours, theirs, strict=True):
        assert (one.arm, one.peak, one.seed) == (other.arm, other.peak, other.seed)
        assert dict(other.curve)[STEPS]["loss"] == pytest.approx(one.value, rel=1e-5)
        assert dict(other.curve)[10]["loss"] == pytest.approx(dict(one.curve)[10]["loss"], rel=1e-5)
    (a,), (b,) = said.comparisons, same.comparisons
    assert (a.verdict.word, a.paired.wins, a.p) == (b.verdict.word, b.paired.wins, b.p)
    assert b.gains == pytest.approx(a.gains, rel=1e-3)
    assert (same.script.seen, same.script.updates, same.script.gap) == (80, 80, 0.0)
    assert not any("seen" in caveat for caveat in same.caveats)
    record = next((path / "script" / "runs").glob("*/record.json"))
    record.write_bytes(record.read_bytes()[:60])
    _, lacking = finished(script, path / "script")
    assert (lacking.script.seen, lacking.script.updates) == (60, 60)
    lost = f": what was seen of it is lost ({record.parent.name}/record.json)."
    assert any(caveat.endswith(lost) for caveat in lacking.caveats)


# needs no torch: its own cosine, and what the witness would write of it
OWN = """
import json, math, os, sys
peak, steps, run = float(sys.argv[1]), int(sys.argv[2]), os.environ["TAPERED_RUN"]
with open(run + "/applied.csv", "a") as applied, open(run + "/reports.jsonl", "a") as told:
    for k in range(steps):
        applied.write(f"{k},{peak * (1 + math.cos(math.pi * k / steps)) / 2!r}\\n")
    told.write(json.dumps({"step": steps, "loss": 1.0}) + "\\n")
"""


def test_a_rate_of_the_scripts_own_is_seen_and_another_is_refused(tmp_path):
    (tmp_path / "train.py").write_text(OWN)
    table = '[script]\ncommand = "{python} train.py {peak} {steps}"\nretries = 0\n'
    head = HEAD.replace("seeds = 2", "seeds = 1") + PEAKS + table
    own = head + arms([("constant", "cosine_decay(decay_steps=steps)")])
    _, result = finished(read(tmp_path, own), tmp_path / "cosine")
    assert (result.script.seen, result.script.updates) == (20, 20)
    assert result.script.gap < 1e-12
    with pytest.raises(RefusedRunError) as error:
        finished(read(tmp_path, head + arms([("constant", "linear(steps=steps)")])), tmp_path / "linear")
    told = re.search(r"update 1 was made at (\S+); asked was ([\d.e-]+)", str(error.value))
    assert float(told[1]) == pytest.approx(0.03 * (1 + math.cos(math.pi / 20)) / 2)
    assert float(told[2]) == pytest.approx(0.03 * 19 / 20)
    assert "arm 'constant', peak 0.03, seed" in str(error.value)
    assert 'rate = "set"' in str(error.value)
