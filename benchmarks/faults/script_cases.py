"""Scripts in which something goes wrong: three kinds, thirty faults, and what is to come of each."""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tapered import cosine_decay
from tapered.scripts.asked import Asked
from tapered.scripts.command import Command, Template, values
from tapered.scripts.ended import Seen
from tapered.scripts.limits import Limits
from tapered.scripts.metrics import reader
from tapered.scripts.rates import applied, compare

HERE, STEPS, PEAK = Path(__file__).parent / "script_kinds", 12, 1e-2
LINE = "{python} SCRIPT --lr {peak} --seed {seed} --steps {steps} --out {out}"
LINEAR = f"{LINE} --schedule linear"
KINDS = {  # its file, what it needs, where its numbers are and its checkpoints
    "plain": ("plain.py", "torch", "csv:{out}/log.csv", "{out}/checkpoint-{step}.pt"),
    "trainer": ("trainer.py", "transformers", "trainer_state", "{out}/checkpoint-{step}"),
    "bare": ("bare.py", "json", "jsonl", "{out}/checkpoint-{step}"),  # to be killed
    "lightning": ("lightning_module.py", "lightning", "jsonl", "{out}/checkpoint-{step}.ckpt"),
}
STARTUP, SILENCE = 60.0, 20.0  # seconds; all of them begin within the first, and a slow start is longer than the second


@dataclass(frozen=True)
class Case:
    """A fault and what is to come of it.

    Args:
        name: Of the fault.
        word: The word that its run is to get.
        starts: How often it is started for that; None where it does not matter.
        why: What is said.
        fault: As the script is told.
        same: Whether its numbers are to be those of a run that nothing happened to.
    """

    name: str
    word: str
    starts: int | None = None
    why: str = ""
    fault: str = ""
    same: bool = False
    rate: str = "see"
    line: str = LINE
    limits: dict = field(default_factory=dict)
    held: str = ""  # a kind whose callback keeps it from going wrong: finished
    inexact: str = ""  # a kind whose own resume is not exact there: Lightning's within an epoch
    happens: str = ""  # from outside


CASES = [
    Case("none", "finished", 1, same=True),
    Case("its own scheduler, another was asked", "refused", 1, "update 1 was made at", line=LINEAR),
    Case("the same, set from outside", "finished", 1, same=True, line=LINEAR, rate="set"),
    Case("a rate wrong by a thousandth from one update on", "refused", 1, "update 6 was made at", "rate"),
    Case("seed ignored", "finished", 1, fault="seed", happens="two seeds"),
    Case("raises each time", "crashed", 3, "exit code 1", "raise"),
    Case("raises once", "finished", 2, fault="raise once", same=True),
    Case("cannot import", "crashed", 3, "exit code 1", "import"),
    Case("exit code 3 each time", "crashed", 3, "exit code 3", "exit 3"),
    Case("segmentation fault once", "finished", 2, fault="segfault once", same=True),
    Case("killed once, as for want of memory", "finished", 2, fault="kill once", same=True),
    Case("killed each time", "crashed", 3, "SIGKILL", "kill"),
    Case("hangs each time", "hung", 2, "no sign of life", "hang", limits={"retries": 1}),
    Case("hangs once", "finished", 2, fault="hang once", same=True),
    Case("hangs and does not hear SIGTERM", "hung", 1, "silence", "deaf", limits={"retries": 0}),
    Case("prints for ever and gets no further", "hung", 1, "timeout", "loops", limits={"timeout": 30.0}),
    Case("starts slowly", "finished", 1, fault="slow start", same=True),
    Case("NaN", "diverged", 1, "not finite", "nan"),
    Case("NaN, then it raises", "diverged", 1, "not finite", "nan, raise"),
    Case("ends early", "refused", 1, "ended at 6 of 12", "early"),
    Case("ends and has reported nothing", "refused", 1, "reported nothing", "nothing reported"),
    Case("goes on beyond its last step", "refused", 1, "", "beyond", held="lightning"),
    Case("killed in mid-save", "finished", 3, fault="half once", same=True),
    Case("a full disk in mid-save, once", "finished", 3, fault="full disk once", same=True),
    Case("prints without end", "finished", 1, fault="prints", same=True, limits={"output": 1 << 20}),
    Case("a child of it lives on", "finished", 1, fault="child", same=True),
    Case("the script is killed from outside", "finished", 2, same=True, happens="script"),
    Case("its supervisor is killed", "finished", 2, same=True, happens="supervisor"),
    Case("both are killed", "finished", 2, same=True, happens="both"),
    Case("a stop, and gone on with later", "finished", 2, same=True, happens="stop", inexact="lightning"),
]


@dataclass(frozen=True)
class Judge:
    metrics: str

    def __call__(self, folder):
        asked, rates = Asked.read(folder)
        told, seen = reader(self.metrics).read(folder), applied(folder)
        updates = max((int(one.updates.max()) + 1 for one in seen), default=0)
        difference = compare(rates, seen, 0, asked.until) if seen else None
        said = ["", ""]
        if difference:
            said[difference.missing] = str(difference)
        if not seen and asked.rate != "off":
            said[1] = "no update was seen"
        return Seen(told.last, told.count, updates, told.diverged, *said)


def run_of(folder, kind, case, seed=0):
    """A run's folder and what `supervise` takes with it."""
    name, _, metrics, checkpoints = KINDS[kind]
    folder.mkdir(parents=True, exist_ok=True)
    rates = (PEAK * cosine_decay(decay_steps=STEPS)).table(STEPS)
    asked = Asked("cosine", seed, STEPS, STEPS, PEAK, case.rate)
    asked.write(folder, rates)
    template = Template.read(case.line.replace("SCRIPT", str(HERE / name)))
    command = Command(template, values(folder, asked, rates, "cosine"), case.rate, checkpoints=checkpoints)
    given = {"startup": STARTUP, "silence": SILENCE, "grace": 2.0} | case.limits
    return folder, command, Limits(**given), Judge(metrics)


def environment(case, **more):
    return {"FAULT": case.fault, "SLOW": str(SILENCE + 3), "PYTHONPATH": os.pathsep.join(sys.path), **more}


def numbers(folder, kind):
    """What it reported of its losses: name -> step -> value."""
    told = reader(KINDS[kind][2]).read(folder).points
    return {name: dict(points) for name, points in told.items() if "loss" in name}
