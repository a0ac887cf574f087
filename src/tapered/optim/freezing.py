"""Parameters that do not move for a while: acts by name and step, from which follows what is frozen at every step.

freeze("encoder.*"), unfreeze("encoder.*", at=500) ─► acts ─► of those up to this step the last that is of a name holds
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from tapered.words import counted, suggest

KEY = "freezes"  # of a saved group
FEW = 3  # names that are shown
logger = logging.getLogger("tapered")
Groups = Iterable[Mapping[str, Any]]


@dataclass(frozen=True)
class Act:
    """From step `at` on, what `pattern` matches is frozen, or is trained."""

    pattern: str
    frozen: bool
    at: int

    def __str__(self) -> str:
        return f"{'freeze' if self.frozen else 'unfreeze'}({self.pattern!r}, at={self.at})"


class Freezing:
    """The acts of an optimizer, and the names by which its parameters are known."""

    def __init__(self) -> None:
        self.acts: tuple[Act, ...] = ()
        self.named: dict[Tensor, str] = {}  # by the models that were given
        self.due = -1  # the next step at which an act sets in; none where it is below 0
        self.loaded = False  # acts were loaded since the last update
        self._before: dict[Tensor, bool] = {}  # of what was changed: whether it was trained

    def copied(self) -> "Freezing":
        """The same, to go back to."""
        found = Freezing()
        vars(found).update({**vars(self), "named": dict(self.named), "_before": dict(self._before)})
        return found

    def act(self, groups: Groups, step: int, patterns: tuple[str, ...], at: int | None, *, frozen: bool) -> None:
        """Write acts down, checked first.

        Raises:
            TypeError, ValueError: no pattern, one that matches nothing, or a step that is past.
        """
        call = "freeze" if frozen else "unfreeze"
        if not patterns or not all(isinstance(pattern, str) and pattern for pattern in patterns):
            raise TypeError(f'got {patterns!r}; expected patterns of names; try {call}("encoder.*")')
        if at is not None and (isinstance(at, bool) or not isinstance(at, int) or at < 0):
            raise ValueError(f"got at={at!r}; expected a step, a whole number of updates; try at={step + 100}")
        self._check_names(groups, patterns, call)
        acts = [Act(pattern, frozen, step if at is None else at) for pattern in patterns]
        # a script that goes on from a state says again what it said before
        said = {(act.pattern, act.frozen) for act in self.acts} if self.loaded and at is None else set()
        new = [act for act in acts if act not in self.acts and (act.pattern, act.frozen) not in said]
        late = [act for act in new if act.at < step]
        if late:
            raise ValueError(f"got {late[0]}, which is past at step {step}; try at={step}, or leave at out")
        self.acts += tuple(new)

    def _check_names(self, groups: Groups, patterns: Iterable[str], call: str) -> None:
        known = [name for names in self.known(groups).values() for name in names]
        for pattern in patterns:
            if not known:
                raise ValueError(
                    f"got {call}({pattern!r}), and the parameters here have no names; try {call}({pattern!r}, "
                    f"model=model), make the optimizer from model.named_parameters(), or give its groups a 'name'"
                )
            if not any(fnmatchcase(name, pattern) for name in known):
                raise ValueError(f"got {call}({pattern!r}), and no parameter is named so; {suggest(pattern, known)}")

    def known(self, groups: Groups) -> dict[Tensor, list[str]]:
        """Every parameter that has names: those of its model, of the optimizer, and of its group."""
        found = {param: [name] for param, name in self.named.items()}
        for group in groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for param, name in zip(group["params"], names, strict=True):
                own = [each for each in (name, group.get("name")) if isinstance(each, str)]
                if own:
                    found.setdefault(param, []).extend(own)
        return found

    def at(self, step: int, names: Iterable[str]) -> bool | None:
        """Whether a parameter of these names is frozen at a step; None where no act is of it."""
        said = [act for act in self.acts if act.at <= step and any(fnmatchcase(name, act.pattern) for name in names)]
        return max(said, key=lambda act: act.at).frozen if (said := said[::-1]) else None  # the last of the latest

    def apply(self, groups: Groups, step: int) -> str:
        """Freeze what is frozen at this step, and train what is not any more; what was done, in words."""
        self.due = min((act.at for act in self.acts if act.at > step), default=-1)
        done: dict[str, list[str]] = {"froze": [], "unfroze": []}
        for param, names in self.known(groups).items() if self.acts else ():
            frozen = self.at(step, names)
            trains = self._before.get(param, param.requires_grad) if frozen is None else not frozen
            if trains != param.requires_grad and (param.is_floating_point() or param.is_complex()):
                self._before.setdefault(param, param.requires_grad)
                param.requires_grad_(trains)
                done["unfroze" if trains else "froze"].append(names[0])
            if not param.requires_grad and param.grad is not None:
                param.grad = None
        return "; ".join(
            f"{what} {counted(len(names), 'tensor')} ({', '.join(names[:FEW])}{', ...' * (len(names) > FEW)})"
            for what, names in done.items()
            if names
        )

    def settle(self, groups: Groups) -> None:
        """Before the first update after a load: every act is of something.

        Raises:
            ValueError: with what is there.
        """
        if self.loaded and self.acts:
            self._check_names(groups, [act.pattern for act in self.acts], "freeze")
        self.loaded = False

    @property
    def saved(self) -> list[dict[str, Any]]:
        """The acts as plain values."""
        return [{"pattern": act.pattern, "frozen": act.frozen, "at": act.at} for act in self.acts]

    def merged(self, saved: Any, step: int) -> tuple[Act, ...]:
        """The acts of a state of this step, and of these those that are still to come.

        Raises:
            ValueError: they are damaged, or one of these should have set in before, and had not.
        """
        theirs = read(saved)
        mine = [act for act in self.acts if act not in theirs]
        past = [act for act in mine if act.at < step]
        if past:
            raise ValueError(
                f"the state of step {step} that is loaded was made without {past[0]}; it has "
                f"{', '.join(map(str, theirs)) or 'nothing frozen'}; leave it out, and say it after the load, for what "
                f"comes"
            )
        return (*theirs, *mine)

    def take(self, acts: tuple[Act, ...]) -> None:
        """Go on with the acts of a state that was loaded."""
        self.acts, self.loaded = acts, True


def read(saved: Any) -> tuple[Act, ...]:
    """Saved acts; none where a state has none.

    Raises:
        ValueError: they are damaged.
    """
    try:
        acts = tuple(Act(each["pattern"], each["frozen"], each["at"]) for each in saved or ())
        if all((type(act.pattern), type(act.frozen), type(act.at)) == (str, bool, int) and act.at >= 0 for act in acts):
            return acts
    except (KeyError, TypeError):
        pass
    raise ValueError(f"got {saved!r:.80} for `{KEY}` of a saved group; expected pattern, frozen and at of each act")


class Freezes:
    """Mixed into what counts updates: a clock, and tapered's optimizers."""

    report: Any
    _freezing: Freezing

    def _standing(self) -> tuple[Groups, int]:
        """The groups, and completed updates.

        Raises:
            ValueError: nothing is followed any more.
        """
        raise NotImplementedError

    def _told(self, line: str) -> None:
        """Keep what was done as the report."""
        raise NotImplementedError

    def freeze(self, *patterns: str, at: int | None = None, model: nn.Module | None = None) -> None:
        """Let the parameters of these names stand still, from the coming update on or from step `at`.

        They need no gradient then (`requires_grad_(False)`) and have none, so that nothing moves them: no decay of
        weights, and their moments and counts stay as they are. Their group goes on to show its rate.

        What was frozen and unfrozen, and when, is saved with the optimizer's state and resumed by name, also of groups
        that join later. Of several that match a name the latest holds.

        Args:
            patterns: of names, as `"encoder.*"`, `"*.bias"`: a parameter's in its model or optimizer, or its group's.
            at: a step; by default this one.
            model: what gives the parameters their names, once; an optimizer that was made from
                `model.named_parameters()` has them, and groups may have a `"name"`.

        Raises:
            TypeError, ValueError: a pattern that matches nothing, or a step that is past; nothing has changed then.

        Example:
            >>> import torch, tapered
            >>> model = torch.nn.Sequential(torch.nn.Linear(1, 2), torch.nn.Linear(2, 1))
            >>> optimizer = tapered.AdamW(model.named_parameters(), lr=0.1)
            >>> optimizer.freeze("0.*")
            >>> optimizer.unfreeze("0.*", at=100)
            >>> optimizer.frozen, optimizer.report
            (('0.weight', '0.bias'), 'step 0: froze 2 tensors (0.weight, 0.bias)')
        """
        self._act(patterns, at, model, frozen=True)

    def unfreeze(self, *patterns: str, at: int | None = None, model: nn.Module | None = None) -> None:
        """Train the parameters of these names, from the coming update on or from step `at`; see `freeze`.

        Their rate is what the schedule gives by then; moments go on from where they were left.
        """
        self._act(patterns, at, model, frozen=False)

    @property
    def frozen(self) -> tuple[str, ...]:
        """The names of the parameters that an act has frozen."""
        groups, step = self._standing()
        return tuple(names[0] for names in self._freezing.known(groups).values() if self._freezing.at(step, names))

    def _act(self, patterns: tuple[str, ...], at: int | None, model: nn.Module | None, *, frozen: bool) -> None:
        groups, step = self._standing()
        named = dict(self._freezing.named)
        try:
            self._freezing.named |= {} if model is None else dict(_names(model))
            self._freezing.act(groups, step, patterns, at, frozen=frozen)
        except Exception:
            self._freezing.named = named
            raise
        self._thaw()

    def _thaw(self) -> None:
        """Have what is frozen now stand still, and the rest be trained."""
        groups, step = self._standing()
        done = self._freezing.apply(groups, step)
        if done:
            line = f"step {step}: {done}"
            logger.info(line)
            self._told(line)


def _names(model: nn.Module) -> Iterator[tuple[Tensor, str]]:
    """Each parameter with its name in the model, whatever torch.compile or DistributedDataParallel put around it."""
    model = getattr(model, "_orig_mod", model)
    model = model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model
    for name, param in model.named_parameters():
        yield param, name
