"""Where tapered may differ from torch, each with its reason; the suite fails on others, and on one that is no more."""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

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
    nearer: bool = False  # only where ours is as near to float64's numbers as torch is
    device: str = "*"

    def __str__(self) -> str:
        return f"{self.word} {self.template} {self.optimizer} {self.way}: {self.said}"

    def covers(self, run: Run, verdict: Verdict) -> bool:
        """It speaks of this run."""
        pairs = [(run.template.name, self.template), (run.optimizer, self.optimizer), (run.input, self.input)]
        pairs += [(run.way, self.way), (run.variant, self.variant), (run.device, self.device)]
        return (
            verdict.word == self.word
            and all(fnmatchcase(value, pattern) for value, pattern in pairs)
            and re.search(self.said, verdict.said) is not None
            and (verdict.nearer or not self.nearer)
        )


ALLOWED: list[Allowed] = []
