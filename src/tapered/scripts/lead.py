"""The rate of an optimizer's groups as one number, and back: each group has its share of it.

group["lr"] = rate * share * group["lr_scale"],     share = its first rate / the leading group's first rate
"""

import math
from collections.abc import Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

Group = dict[str, Any]


class Shares:
    """What each group's rate is to the leading one's: the first whose rate is not 0.

    Args:
        first: the rate of each group as the optimizer was made, before any scheduler or state.
    """

    def __init__(self, first: Sequence[float]) -> None:
        self.lead = next((index for index, rate in enumerate(first) if rate), 0)
        top = first[self.lead] if first else 0.0
        self.shares = [rate / top if top else 1.0 for rate in first]

    def of(self, groups: Sequence[Group], lead: Any) -> list[float]:
        """Each group's; one that joined late has the ratio at which it joined.

        Args:
            groups: the optimizer's.
            lead: the script's own rate of the leading one; a tensor is read only where a group has joined.
        """
        for group in groups[len(self.shares) :]:
            self.shares.append(own_rate(group) / float(lead) if lead else 1.0)
        return [share * scale(group) for share, group in zip(self.shares, groups, strict=False)]

    def seen(self, groups: Sequence[Group]) -> Any:
        """The rate that the leading group shows: a float, or a tensor on a device, to be read later."""
        group = groups[self.lead]
        shown, times = group.get("lr"), scale(group)
        if isinstance(shown, Tensor):
            shown = shown.detach()
            if shown.device.type != "cpu":
                return shown / times if times != 1 else shown.clone()
        return self.alone(groups, own_rate(group) if rated(group) else math.nan)

    def alone(self, groups: Sequence[Group], rate: float) -> float:
        """The leading group's rate without its multiplier."""
        times = scale(groups[self.lead])
        return rate / times if times not in (0, 1) else rate


def rated(group: Group) -> bool:
    """Whether it shows a rate; Adafactor's own, for one, is None."""
    return isinstance(group.get("lr"), (Real, Tensor))


def own_rate(group: Group) -> float:
    """A group's rate, without the multiplier of its own; 0 where it shows none."""
    return float(group["lr"]) if rated(group) else 0.0


def scale(group: Group) -> float:
    """The multiplier that layer-wise decay of timm and others leaves in a group; 1 where there is none."""
    found = group.get("lr_scale", 1)
    return float(found) if isinstance(found, (int, float)) else 1.0


class Written:
    """The rates that are asked, in the groups for one step; the script's own stand there before and after.

    So a scheduler of the script's that reads its rate back, and multiplies it, finds its own.

    Args:
        shares: of the groups.
    """

    def __init__(self, shares: Shares) -> None:
        self.shares = shares
        self._own: list[Any] = []
        self._ours: list[Any] = []

    def write(self, groups: Sequence[Group], rate: float) -> None:
        """Put the rate in force. What the script wrote since, within the step, is its own."""
        missing = len(groups) - len(self._own)
        self._own, self._ours = self._own + [None] * missing, self._ours + [None] * missing
        lead = self.shares.lead
        shown = groups[lead].get("lr")
        own = self._own[lead] if shown is self._ours[lead] else shown
        for index, (group, share) in enumerate(zip(groups, self.shares.of(groups, own), strict=False)):
            if not rated(group):
                continue
            ours, shown = rate * share, group["lr"]
            if isinstance(shown, Tensor):
                if shown is not self._ours[index]:
                    self._own[index], self._ours[index] = shown.detach().clone(), shown
                with torch.no_grad():
                    shown.fill_(ours)
            else:
                if shown is not self._ours[index]:
                    self._own[index] = shown
                group["lr"] = self._ours[index] = ours

    def back(self, groups: Sequence[Group]) -> None:
        """The script's own rates, where it did not write others meanwhile."""
        for group, own, ours in zip(groups, self._own, self._ours, strict=False):
            if ours is not None and group.get("lr") is ours:
                if isinstance(ours, Tensor):
                    with torch.no_grad():
                        ours.copy_(own)
                else:
                    group["lr"] = own
        self._own, self._ours = [], []
