"""Where tapered may differ from torch, read from allowed.toml."""

import re
import tomllib
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import torch
from torch_templates.judge import Verdict
from torch_templates.template import Run


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
    fault: str = ""  # torch's own, in the version that this begins

    def __str__(self) -> str:
        return f"{self.word} {self.template} {self.optimizer} {self.way}: {self.said}"

    def expected(self, device: str) -> bool:
        """It must happen in a whole run on this device."""
        return self.device in ("*", device) and torch.__version__.startswith(self.fault)

    def covers(self, run: Run, verdict: Verdict) -> bool:
        """It speaks of this run."""
        where = {"optimizer": run.optimizer, "input": run.input, "way": run.way, "variant": run.variant}
        where |= {"template": run.template.name, "dtype": str(run.dtype), "device": run.device}
        return (
            verdict.word == self.word
            and all(fnmatchcase(value, getattr(self, key)) for key, value in where.items())
            and re.search(self.said, verdict.said) is not None
            and (verdict.nearer or not self.nearer)
        )


FOUND = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
ALLOWED = [Allowed(word, **entry) for word in ("refused", "different") for entry in FOUND[word]]
