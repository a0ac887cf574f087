"""torch's own tests of optimizers, run on tapered's: is every number torch's, and every refusal in words?

    python benchmarks/clients/torch_suite.py [--json] [--only TEMPLATE ...] [--optimizer NAME ...] [--device cpu]

What torch's tests check of every optimizer, as templates (torch_templates/), over every input that torch's own table
has for those that tapered has, as a user writes it and with flags. Each runs twice, with torch.optim's class and with
tapered's of the same name; what is seen on the way (weights, states, rates, what is saved) is compared.

equal      the same within the template's tolerance, or refused on both sides
refused    torch goes on, tapered says why it does not: each stands with its reason in torch_templates/allowed.py
different  other numbers: likewise
crash      an exception that is no refusal in words: never

The exit status is 1 where a refusal or a difference is not on the list, or one on the list no longer happens.
"""

import argparse
import json
import re
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import torch
from torch_templates import (
    autograd,
    copies,
    dtypes,
    errors,
    gradients,
    hooks,
    layouts,
    paths,
    schedulers,
    states,
    training,
)
from torch_templates.allowed import ALLOWED, Allowed
from torch_templates.database import LACKED, OURS
from torch_templates.judge import Verdict
from torch_templates.template import TEMPLATES, Run, runs, thinned

MODULES = (
    training,
    paths,
    dtypes,
    gradients,
    autograd,
    states,
    copies,
    hooks,
    errors,
    schedulers,
    layouts,
)  # they keep their own
WORDS = ("equal", "refused", "different", "crash")


@dataclass
class Tally:
    """What became of the runs."""

    counts: Counter[str] = field(default_factory=Counter)
    by_template: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    listed: Counter[Allowed] = field(default_factory=Counter)
    unlisted: list[tuple[Run, Verdict]] = field(default_factory=list)

    def add(self, run: Run, verdict: Verdict) -> None:
        self.counts[verdict.word] += 1
        self.by_template[run.template.name][verdict.word] += 1
        if verdict.word == "equal":
            return
        entry = next((entry for entry in ALLOWED if entry.covers(run, verdict)), None)
        if entry is None:
            self.unlisted.append((run, verdict))
        else:
            self.listed[entry] += 1


def tallied(chosen: Iterable[Run]) -> Tally:
    """Every run judged."""
    tally = Tally()
    for run in chosen:
        tally.add(run, run.judged())
    return tally


def unused(tally: Tally, device: str) -> list[Allowed]:
    """What the list allows on this device, and no run does any more."""
    return [entry for entry in ALLOWED if entry.expected(device) and not tally.listed[entry]]


def table(tally: Tally) -> list[str]:
    """Counts by template, then what the list allows, each with its reason."""
    lines = [f"{'':28}{''.join(f'{word:>11}' for word in WORDS)}"]
    for name, counts in [*tally.by_template.items(), ("all", tally.counts)]:
        lines.append(f"{name:28}" + "".join(f"{counts[word] or '-':>11}" for word in WORDS))
    lines += ["", f"tapered has no {', '.join(LACKED)}", ""]
    return lines + [f"{count:6} {entry}\n       {entry.reason}" for entry, count in tally.listed.items()]


def wrong(tally: Tally, stale: Iterable[Allowed], most: int) -> list[str]:
    """What is not on the list, the first of each template and message; and what is there in vain."""
    first: dict[tuple[str, str, str, bool], list[tuple[Run, Verdict]]] = defaultdict(list)
    for run, verdict in tally.unlisted:
        kind = re.sub(r"[\d.]+", "", verdict.said)[:40]
        first[run.template.name, verdict.word, kind, verdict.nearer].append((run, verdict))
    lines = [
        f"{verdict.word:10} {len(alike):5} x  {run}\n{'':11}{verdict.said[:400]}{' (no further off)' * verdict.nearer}"
        for alike in list(first.values())[:most]
        for run, verdict in alike[:1]
    ]
    return lines + [f"listed, but no more: {entry}" for entry in stale]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--only", nargs="+", default=[], metavar="TEMPLATE", choices=TEMPLATES)
    parser.add_argument("--optimizer", nargs="+", default=[], metavar="NAME", choices=OURS)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--most", type=int, default=200, help="how many kinds of failure to print")
    parser.add_argument("--sample", type=int, default=0, help="at most so many runs of a template")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [
        run
        for run in runs(asked.device)
        if run.template.name in (asked.only or TEMPLATES) and run.optimizer in (asked.optimizer or OURS)
    ]
    chosen = thinned(chosen, asked.sample) if asked.sample else chosen
    start = time.monotonic()
    tally = tallied(chosen)
    stale = unused(tally, asked.device) if not (asked.only or asked.optimizer or asked.sample) else []
    said = [*table(tally), "", *wrong(tally, stale, asked.most), f"{time.monotonic() - start:.0f} s"]
    print(*said, sep="\n", file=sys.stderr if asked.json else sys.stdout)
    if asked.json:
        counts = {word: tally.counts[word] for word in WORDS}
        print(json.dumps({"templates": len(tally.by_template), "runs": len(chosen), **counts}))
    return 1 if tally.unlisted or stale else 0


if __name__ == "__main__":
    sys.exit(main())
