"""A study planned: what it states, what its numbers depend on, and where it is evaluated; found once, and handed on.

Stated ─► plan_of ─► Planned ─┬─► facts, folder ─► the store
                           ╰─► rounds ─► a Forest each ─► bundles
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from tapered import kind
from tapered.study.file.read import Stated
from tapered.study.file.script import Scripted
from tapered.study.file.study import Study
from tapered.study.plan.facts import frozen_facts, shared_facts
from tapered.study.result.asked import Asked
from tapered.study.store.runs import run_key
from tapered.training.workload import Workload
from tapered.words import brief


@brief
@dataclass(frozen=True)
class Planned:
    """A study that can be trained.

    Args:
        stated: As its file states it.
        study: The file, its grids and trials as they are by now.

    Example:
        >>> from tapered.study import plan_of, read
        >>> planned = plan_of(read("control-null", quick=True))
        >>> planned.steps, planned.marks, planned.workload.name
        (10, (0, 10), 'noisy_quadratic')
    """

    stated: Stated
    study: Study

    @property
    def subject(self) -> Workload | Scripted:
        """What it trains."""
        return self.stated.subject

    @property
    def workload(self) -> Workload:
        """The workload that it trains."""
        return self.stated.workload

    @property
    def steps(self) -> int:
        """Updates each run makes."""
        return self.stated.steps

    @property
    def whole(self) -> bool:
        """Whether every run is trained to its end, and pruning only says what it would have done."""
        return self.stated.whole

    @property
    def asked(self) -> Asked:
        """What its result is an answer to."""
        return Asked(self.study, self.steps, self.subject.name, self.subject.names[1:])

    @property
    def marks(self) -> tuple[int, ...]:
        """The steps at which every run is evaluated: 0, the last, and evenly between."""
        n = self.study.evaluations
        return tuple(sorted({round(i * self.steps / n) for i in range(n + 1)}))

    @cached_property
    def shared(self) -> Mapping[str, str]:
        """What every run depends on, field -> text."""
        return shared_facts(self.stated)

    @cached_property
    def facts(self) -> Mapping[str, str]:
        """What the study's numbers depend on, field -> text: a folder that holds other values is refused."""
        return {**frozen_facts(self.stated), **self.shared}

    @property
    def identity(self) -> str:
        """A hash of everything that its numbers depend on; the same for the same study on another machine."""
        # on another kind of processor it is the same study, which goes on or refuses to
        facts = {name: text for name, text in self.facts.items() if name not in (kind.TRAINED, kind.WEIGHTS)}
        return run_key(facts)[:8]

    def having(self, study: Study) -> Self:
        """The same with other grids or trials."""
        return replace(self, study=study)


def plan_of(stated: Stated) -> Planned:
    """A study as its file states it, planned; its rounds follow from what was found before.

    Args:
        stated: What `read` made of its file.

    Example:
        >>> from tapered.study import read
        >>> plan_of(read("bmi")).study.baseline
        'constant'
    """
    return Planned(stated, stated.study)


def default_folder(planned: Planned, root: Path = Path("studies")) -> Path:
    """A folder for exactly this study: its name, and a hash of everything that its numbers depend on.

    Args:
        planned: The study.
        root: The folder in which it lies.

    Example:
        >>> from tapered.study import plan_of, read
        >>> folder = default_folder(plan_of(read("control-null")))
        >>> folder.parent.name, folder.name.rpartition("-")[0]
        ('studies', 'control-null')
    """
    slug = re.sub(r"[^a-z0-9]+", "-", planned.study.name.lower()).strip("-")[:40] or "study"
    return root / f"{slug}-{planned.identity}"
