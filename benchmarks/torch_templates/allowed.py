"""Where tapered may differ from torch, read from allowed.toml."""

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch_templates.judge import Verdict
from torch_templates.template import Run

SEEN = "2.13"  # the torch whose own faults stand here


@dataclass(frozen=True)
class Allowed:
    """Runs that may be refused or different, by what is said, and by where; `*` is any."""

    word: str
    said: str  # a regular expression found in what is said
    reason: str
    template: str = "*"
    optimizer: str = "*"
    input: str = "*"
    way: str = "*"
    variant: str = "*"
    dtype: str = "*"
    nearer: bool = False  # only where ours is as near to float64's numbers as torch is
    device: str = "*"
    fault: bool = False  # torch's own, which another version of it may have mended

    def __str__(self) -> str:
        return f"{self.word} {self.template} {self.optimizer} {self.way}: {self.said}"

    def expected(self, device: str) -> bool:
        """It must happen in a whole run on this device."""
        return self.device in ("*", device) and (not self.fault or torch.__version__.startswith(SEEN))

    def covers(self, run: Run, verdict: Verdict) -> bool:
        """It speaks of this run."""
        pairs = [(run.template.name, self.template), (run.optimizer, self.optimizer), (run.input, self.input)]
        pairs += [
            (str(run.dtype), self.dtype),
            (run.way, self.way),
            (run.variant, self.variant),
            (run.device, self.device),
        ]
        return (
            verdict.word == self.word
            and all(fnmatchcase(value, pattern) for value, pattern in pairs)
            and re.search(self.said, verdict.said) is not None
            and (verdict.nearer or not self.nearer)
        )


FOUND = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
ALLOWED = [Allowed(word, **entry) for word in ("refused", "different") for entry in FOUND[word]]
