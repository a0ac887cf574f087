"""Averages of the weights, kept beside a rule's state and moved on with every update: what is evaluated in their place.

    param, grad, state ─► the rule's own terms ─► param + delta ─► the average moves towards it ─► readout

Training does not notice: the weights are those of the rule alone, bit for bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from tapered.rules.base import Hyper, Rule, State, Terms, added
from tapered.rules.momentum import Lion
from tapered.rules.ranges import Range, ranges_of
from tapered.rules.restarted import Restarted
from tapered.rules.schedule_free import ScheduleFreeAdamW

BatchNorm = Literal["trained", "recomputed"]


@dataclass(frozen=True)
class Beside:
    """A rule beside whose state something is kept of the weights that it makes; see `Averaged` and `Latest`.

    Args:
        rule: What trains. Schedule-Free is refused, which keeps an average of its own.
        batch_norm: BatchNorm's statistics where the average is evaluated: those that training kept, or computed anew
            with the average's weights over the minibatches of an epoch, as `torch.optim.swa_utils.update_bn` does.

    Raises:
        ValueError: If the rule keeps an average already, or `batch_norm` is neither.
    """

    rule: Rule
    batch_norm: BatchNorm = "trained"

    names: ClassVar[tuple[str, ...]]  # of what is kept
    own: ClassVar[tuple[str, float, Range]]  # the hyper that says what is taken: its name, default and range

    def __post_init__(self) -> None:
        """Refuse an average of an average, and a choice that there is not."""
        trained = self.rule.rule if isinstance(self.rule, Restarted) else self.rule
        if isinstance(trained, Beside | ScheduleFreeAdamW):
            name = type(trained).__name__
            raise ValueError(f"{name} keeps an average of its own; leave the other one out")  # noqa: TRY004 - a rule too
        if self.batch_norm not in get_args(BatchNorm):
            raise ValueError(f'got batch_norm={self.batch_norm!r}; expected "trained" or "recomputed"')

    @property
    def ranges(self) -> Mapping[str, Range]:
        """The rule's own, and of what is taken."""
        return {**ranges_of(self.rule), self.own[0]: self.own[2]}

    @property
    def hypers(self) -> Mapping[str, float]:
        """The rule's own, and what is taken."""
        return {**self.rule.hypers, self.own[0]: self.own[1]}

    def init(self, param: Tensor) -> State:
        """The rule's own, and what is kept."""
        return {**self.rule.init(param), **self.begun(param)}

    def scalars(self, hyper: Hyper, t: Tensor) -> Hyper:
        """The rule's own, and what is taken."""
        return {**self.rule.scalars(hyper, t), self.own[0]: hyper[self.own[0]]}

    def terms(self, param: Tensor, grad: Tensor, state: State, of: Hyper) -> tuple[Terms, State]:
        """The rule's own."""
        terms, new = self.rule.terms(param, grad, self.without(state), of)
        return terms, {**new, **self.moved(state, param + added(terms, new)[0], of)}

    def without(self, state: State) -> State:
        """The state of the rule alone."""
        return {name: tensor for name, tensor in state.items() if name not in self.names}

    def begun(self, param: Tensor) -> State:
        """What is kept before the first update."""
        raise NotImplementedError

    def moved(self, state: State, weights: Tensor, of: Hyper) -> State:
        """What is kept after an update that led to these weights."""
        raise NotImplementedError

    def readout(self, param: Tensor, state: State) -> Tensor:
        """The average, in the parameter's dtype."""
        raise NotImplementedError


@dataclass(frozen=True)
class Averaged(Beside):
    r"""A running average of the weights.

        average <- average + newest (w - average)        w: the weights after this update

    `newest` is a hyper and so a table or schedule: 1 takes the weights themselves, 0 leaves the average as it is,
    1 - d is an exponential average that decays by d, and 1/n after n - 1 others the mean of n. The average is kept in
    float32 at least: as much memory again as the parameters take.

    Args:
        rule: What trains, which keeps no average of its own.
        batch_norm: BatchNorm's statistics where the average is evaluated: those that training kept, "trained", or
            "recomputed" with the average's weights.

    Raises:
        ValueError: If the rule keeps an average already, or `batch_norm` is neither.

    Example:
        >>> rule = Averaged(Restarted(ScheduleFreeAdamW()))
        Traceback (most recent call last):
        ...
        ValueError: ScheduleFreeAdamW keeps an average of its own; leave the other one out
    """

    names = ("average",)
    own = ("newest", 1.0, Range(0, 1, "1.0", high_open=False))

    def begun(self, param: Tensor) -> State:
        """The parameter."""
        return {"average": precise(param.detach()).clone()}

    def moved(self, state: State, weights: Tensor, of: Hyper) -> State:
        """The average, nearer to the weights."""
        average = state["average"]
        return {"average": torch.lerp(average, weights.to(average.dtype), of["newest"].to(average.dtype))}

    def readout(self, param: Tensor, state: State) -> Tensor:
        """The average, in the parameter's dtype."""
        return state["average"].to(param.dtype)


@dataclass(frozen=True)
class Latest(Beside):
    """The mean of the latest weights that were taken, `latest` of them or as many as there are; before that w itself.

    `taken` is a hyper and so a table or schedule: how many were taken so far, a step function that rises where the
    weights after the update are to be. They are kept in float32 at least: `latest` times the parameters' memory.

    Args:
        rule: What trains, which keeps no average of its own.
        batch_norm: "trained" or "recomputed", as of `Averaged`.
        latest: Of how many.

    Example:
        >>> import torch
        >>> from tapered import rules
        >>> rule, param = rules.Latest(rules.SGD(), latest=2), torch.ones(2)
        >>> rule.readout(param, rule.init(param)).tolist()
        [1.0, 1.0]
    """

    latest: int = 5

    names = ("latest", "taken")
    own = ("taken", 0.0, Range(0, 2.0**24, "0"))

    def __post_init__(self) -> None:
        """Refuse what is no number of weights."""
        super().__post_init__()
        if isinstance(self.latest, bool) or not isinstance(self.latest, int) or self.latest < 1:
            raise ValueError(
                f"got latest={self.latest!r}; expected a whole number of weights, at least 1; try latest=5"
            )

    def begun(self, param: Tensor) -> State:
        """Places for `latest` weights; taken, shape=()."""
        places = precise(param.detach()).new_zeros((self.latest, *param.shape))
        return {"latest": places, "taken": torch.zeros((), device=param.device)}

    def moved(self, state: State, weights: Tensor, of: Hyper) -> State:
        """The weights in the place of the oldest, where they are taken."""
        latest, taken = state["latest"], of["taken"].to(state["taken"].dtype)
        place = torch.remainder(taken - 1, self.latest)
        here = (torch.arange(self.latest, device=latest.device) == place) & (taken != state["taken"])
        here = here.view(-1, *[1] * weights.dim())
        return {"latest": torch.where(here, weights.to(latest.dtype), latest), "taken": taken}

    def readout(self, param: Tensor, state: State) -> Tensor:
        """Their mean, in the parameter's dtype."""
        latest, taken = state["latest"], state["taken"]
        count = taken.clamp(max=self.latest)
        there = (torch.arange(self.latest, device=latest.device) < count).view(-1, *[1] * param.dim())
        mean = torch.where(there, latest, torch.zeros_like(latest)).sum(0) / count.clamp(min=1)
        return torch.where(taken > 0, mean.to(param.dtype), param)


def precise(tensor: Tensor) -> Tensor:
    """Numbers of 16 bits as float32: an average moves by less than these can tell."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def bare(rule: Rule) -> Rule:
    """The rule that trains, without what is kept beside it.

    Args:
        rule: Any.

    >>> from tapered import rules
    >>> bare(Averaged(rules.SGD())) == bare(rules.SGD()) == rules.SGD()
    True
    """
    return rule.rule if isinstance(rule, Beside) else rule


def decouples(rule: Rule) -> bool:
    """Whether each update takes `lr * weight_decay` of the weights off them, and of nothing else.

    Args:
        rule: Any.

    >>> from tapered import rules
    >>> decouples(rules.Adam(decay="decoupled")), decouples(rules.Adam()), decouples(rules.ScheduleFreeAdamW())
    (True, False, False)
    """
    trains = bare(rule)
    trains = trains.rule if isinstance(trains, Restarted) else trains
    return isinstance(trains, Lion) or getattr(trains, "decay", "l2") == "decoupled"


def bare_state(rule: Rule, state: State) -> State:
    """The state of the rule that trains."""
    return rule.without(state) if isinstance(rule, Beside) else state


def recomputed(rule: Rule) -> bool:
    """Whether BatchNorm's statistics are computed anew where the rule's weights are evaluated.

    Args:
        rule: Any.

    Example:
        >>> from tapered import rules
        >>> rule = rules.Averaged(rules.SGD(), batch_norm="recomputed")
        >>> recomputed(rule), recomputed(rules.SGD())
        (True, False)
    """
    return isinstance(rule, Beside) and rule.batch_norm == "recomputed"
