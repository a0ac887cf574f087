"""Studies of a script that needs no torch: a noisy quadratic in plain Python, and what it should come to, by hand."""

import random
from array import array

from study_cases import finished, read

SCRIPT = r"""
import argparse, array, json, os, random, signal, sys, time
p = argparse.ArgumentParser()
p.add_argument("--seed", type=int, default=0, help="of everything random")
p.add_argument("--max-steps", type=int, default=100)
p.add_argument("--until", type=int, default=0)
p.add_argument("--rates")
p.add_argument("--output-dir")
p.add_argument("--resume")
p.add_argument("--fault", default="")
a = p.parse_args()
fault, _, at = a.fault.partition(":")  # crash:STEP or crash:STEP,SEED
at, _, whose = at.partition(",")
rates = array.array("d", open(a.rates, "rb").read())
os.makedirs(a.output_dir, exist_ok=True)
random.seed(0 if fault in ("seedless", "clock") else a.seed)
clock = (lambda: {"seconds": time.time(), "grad_norm": float("nan")}) if fault == "clock" else dict
if fault == "noisy": random.seed()
x, start, once = 3.0, 0, os.path.join(a.output_dir, "once")
saved = sorted(int(name[2:-5]) for name in os.listdir(a.output_dir) if name.startswith("c-"))
path = a.resume or (saved and f"{a.output_dir}/c-{saved[-1]}.json")
if fault == "single": path = os.path.exists(f"{a.output_dir}/last.json") and f"{a.output_dir}/last.json"
end = (a.until or a.max_steps) - (3 if fault == "early" else 0)
wanted = json.load(open(os.environ["TAPERED_RUN"] + "/run.json"))["save_at"] if fault == "epochs" else ()
if path and fault != "deaf":
    kept = json.load(open(path))
    x, start = kept["x"], kept["step"]
    if fault != "inexact" and not (fault == "epochs" and start % 5):
        random.setstate((kept["r"][0], tuple(kept["r"][1]), kept["r"][2]))
with open(f"{a.output_dir}/log.jsonl", "a", buffering=1) as log:
    for step in range(start, end):
        if str(step) == at and whose in ("", str(a.seed)):
            if fault == "crash": raise RuntimeError("somebody's own mistake")
            if fault == "nan": x = float("nan")
            if fault == "wait":
                if not os.path.exists(once): open(once, "w"); time.sleep(600)
        x -= rates[step] * (x + random.gauss(0, 1))
        told = (step + 1) % 5 == 0 or (fault == "single" and step + 1 == end)
        if told: log.write(json.dumps({"step": step + 1, "loss": 0.5 * x * x, **clock()}) + "\n")
        if told or step + 1 == end or step + 1 in wanted:
            name = "last" if fault == "single" else f"c-{step + 1}"
            with open(f"{a.output_dir}/{name}.json", "w") as file:
                json.dump({"x": x, "step": step + 1, "r": random.getstate()}, file)
"""
COMMAND = "{python} train.py --rates {rates} --seed {seed} --max-steps {steps} --output-dir {out}"
STEPS = 20
TABLE = f"""
[script]
command = "{COMMAND}"
metrics = "jsonl:{{out}}/log.jsonl"
rate = "off"
resume = "same-out"
checkpoints = "{{out}}/c-{{step}}.json"
retries = 0
grace = 0.2
"""
CONSTANT = '[[arms]]\nname = "constant"\nlr = "constant(1.0)"\n'
LATE = '[[arms]]\nname = "late"\nlr = "hold(0.5*steps).then(cooldown(0.5*steps))"\n'


def stated(
    arms=CONSTANT + LATE,
    table=TABLE,
    seeds=2,
    more="executor = { workers = 2 }",
    peaks="{ low = 0.05, high = 0.1, count = 2 }",
):
    """A study's file."""
    head = f'name = "own"\nsteps = {STEPS}\nseeds = {seeds}\nbaseline = "constant"\npeaks = {peaks}\n'
    return f"{head}{more}\n{table}\n{arms}"


def planned(folder, text=None, **fields):
    """A study of the script, planned, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / "train.py").write_text(SCRIPT)
    return read(folder, text or stated(**fields))


def trained(folder, text=None, **fields):
    """Its runs and result."""
    found = planned(folder, text, **fields)
    return finished(found, folder / "s")


def by_hand(found, run):
    """What a run tells, by the same loop here."""
    arm = next(arm for arm in found.study.arms if arm.name == run.arm)
    rates, draws, x, curve = array("d", arm.schedule(STEPS, run.peak).table(STEPS)), random.Random(run.seed), 3.0, []
    for step, rate in enumerate(rates, 1):
        x -= rate * (x + draws.gauss(0, 1))
        if step % 5 == 0:
            curve.append((step, {"loss": 0.5 * x * x}))
    return tuple(curve)
