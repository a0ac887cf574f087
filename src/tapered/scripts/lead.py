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

    def join(self, groups: Sequence[Group], lead: Any) -> None:
        """Groups that came late have the ratio at which they joined.

        Args:
            groups: the optimizer's.
            lead: the script's own rate of the leading one.
        """
        for group in groups[len(self.shares) :]:
            self.shares.append(own_rate(group) / float(lead) if lead else 1.0)

    def seen(self, groups: Sequence[Group]) -> Any:
        """The rate that the leading group shows: a float, or a tensor on a device, to be read later."""
        group = groups[self.lead]
        shown = group.get("lr")
        if type(shown) is float and "lr_scale" not in group:  # after an update this code is in no cache
            return shown
        times = scale(group)
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
    if "lr_scale" not in group:
        return 1.0
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
        shares, ours = self.shares.shares, self._ours
        if len(ours) < len(groups):
            self._own += [None] * (len(groups) - len(ours))
            ours += [None] * (len(groups) - len(ours))
        if len(shares) < len(groups):
            shown = groups[self.shares.lead].get("lr")
            self.shares.join(groups, self._own[self.shares.lead] if shown is ours[self.shares.lead] else shown)
        for index, group in enumerate(groups):
            shown, value = group.get("lr"), rate * shares[index]
            if "lr_scale" in group:
                value *= scale(group)
            if isinstance(shown, Tensor):
                self._fill(index, shown, value)
            elif type(shown) is float or isinstance(shown, Real):
                if shown is not ours[index]:
                    self._own[index] = shown
                group["lr"] = ours[index] = value

    def _fill(self, index: int, shown: Tensor, value: float) -> None:
        if shown is not self._ours[index]:
            self._own[index], self._ours[index] = shown.detach().clone(), shown
        with torch.no_grad():
            shown.fill_(value)

    def back(self, groups: Sequence[Group]) -> None:
        """The script's own rates, where it did not write others meanwhile."""
        ours = self._ours
        for index, group in enumerate(groups):
            if index < len(ours) and ours[index] is not None and group.get("lr") is ours[index]:
                if isinstance(ours[index], Tensor):
                    with torch.no_grad():
                        ours[index].copy_(self._own[index])
                else:
                    group["lr"] = self._own[index]
        self._ours = [None] * len(ours)
