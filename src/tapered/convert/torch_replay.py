"""torch's own curve, step by step, where no closed form gives it: nested and mixed schedulers, kept by exact=True."""

import warnings
from dataclasses import dataclass, field

import torch
from torch.optim import lr_scheduler

from tapered.convert.torch_tree import Node, constructed

REPLAYED = 10_000_000  # steps that torch makes in some minutes


@dataclass(frozen=True, repr=False, eq=False)  # equal to itself alone, as any function
class Replay:
    """step -> the rate of `node` for a group, found by stepping torch's scheduler on an optimizer without gradients."""

    node: Node
    group: int
    rates: list[float] = field(default_factory=list)
    _live: list[tuple[torch.optim.Optimizer, lr_scheduler.LRScheduler]] = field(default_factory=list)

    def __call__(self, step: int) -> float:
        """The rate at a step, from the table of those that were asked for before."""
        if step > REPLAYED:
            raise ValueError(f"{self!r} is replayed step by step, up to step {REPLAYED:,}; got step {step}")
        while len(self.rates) <= step:
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # torch warns about what its composed schedulers do themselves
                    self._advance()
            except (ArithmeticError, NotImplementedError, ValueError) as error:
                reason = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise ValueError(f"torch's own {self!r} raises at step {len(self.rates)}, {reason}") from None
        return self.rates[step]

    def _advance(self) -> None:
        if not self._live:
            base = self.node.bases[self.group]
            optimizer: torch.optim.Optimizer = torch.optim.SGD(
                [torch.nn.Parameter(torch.zeros(1))], lr=base, momentum=0.9
            )
            self._live.append((optimizer, constructed(self.node, optimizer, self.group)))
        else:
            optimizer, scheduler = self._live[0]
            optimizer.step()
            scheduler.step()
        self.rates.append(float(self._live[0][0].param_groups[0]["lr"]))

    def __repr__(self) -> str:
        inner = ", ".join(child.name for child in self.node.children)
        return f"{self.node.name}([{inner}])"
