"""What a conversion returns: a schedule for each parameter group, and sentences on where the source's curve is odd."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tapered.schedules import Controller, Schedule, constant, piecewise_constant
from tapered.schedules.checks import plain
from tapered.words import brief


@brief
@dataclass(frozen=True)
class Conversion:
    """The schedules of the parameter groups, in order, and `notes`: what differs from the source, and what was kept.

    Attributes:
        schedules: the rates that the source writes, one for each group.
        notes: sentences.
        controllers: where the source follows a loss, so that there is no schedule: its rule and state, for each group.
        unscaled: where the source multiplies by a factor that stands in the groups, as timm by `lr_scale`: the
            schedules without it, which `schedule` reads, as `attach` multiplies by it too; empty elsewhere.

    Example:
        >>> from tapered.convert import from_torch
        >>> found = from_torch("CosineAnnealingLR(T_max=100, eta_min=1e-5)", lr=0.1)
        >>> found.schedule
        cosine_decay(0.1, decay_steps=100, end=1e-05)
        >>> found.notes[0]
        "torch's CosineAnnealingLR rises again from step 100 on; kept: its floor, held (exact=True keeps torch's)"
    """

    schedules: tuple[Schedule, ...]
    notes: tuple[str, ...] = ()
    unscaled: tuple[Schedule, ...] = ()
    controllers: tuple[Controller, ...] = ()

    @property
    def controller(self) -> Controller:
        """The rule that all groups share.

        Raises:
            ValueError: it is no such rule, or the groups have different ones.
        """
        if len(set(self.controllers)) != 1:
            at = f"{len(self.controllers)} groups have different ones; take .controllers[0]" if self.controllers else ""
            raise ValueError(f"there is no one controller: {at or 'the source is a schedule; take .schedule'}")
        return self.controllers[0]

    @property
    def schedule(self) -> Schedule:
        """The schedule that all groups share, but for an `lr_scale` of their own.

        Raises:
            ValueError: the groups have different ones, or there is none, as the source follows a loss.
        """
        if self.controllers:
            raise ValueError(
                "the source follows a loss, so there is no schedule; take .controller, and give it to attach"
            )
        shared = self.unscaled or self.schedules
        if len(set(shared)) > 1:
            raise ValueError(
                f"{len(self.schedules)} groups have different schedules, so there is no one schedule; "
                f"take .schedules[0] to .schedules[{len(self.schedules) - 1}]"
            )
        return shared[0]


def conversion(schedules: Iterable[Schedule], notes: Iterable[str], unscaled: Iterable[Schedule] = ()) -> Conversion:
    """A conversion whose notes are said once each."""
    return Conversion(tuple(schedules), tuple(dict.fromkeys(notes)), tuple(unscaled))


def rates(lr: object, example: str) -> tuple[float, ...]:
    """`lr` as a rate for each group: one number, or a sequence of them."""
    values = lr if isinstance(lr, (list, tuple)) else (lr,)
    try:
        found = tuple(float(plain(value)) for value in values)
    except (TypeError, ValueError, OverflowError):
        found = ()
    if not found:
        raise ValueError(
            f"lr must be a finite number, or one for each group, got {lr!r:.80}; write for example {example}"
        )
    return found


def scaled(factor: float, shape: Schedule) -> Schedule:
    """factor * shape, without a factor of 1, a floor in the shape included."""
    return shape if factor == 1.0 else shape.times(factor)


def joined(pieces: Sequence[Schedule], boundaries: Sequence[int]) -> Schedule:
    """Each piece from its own step 0 on, the next from its boundary on; boundaries do not fall."""
    found, start = None, 0
    for piece, end in zip(pieces, [*boundaries, None], strict=True):
        if end == start:
            continue  # a piece of no steps
        lasting = piece if end is None else bounded(piece, end - start)
        found, start = lasting if found is None else found.then(lasting), end or 0
    return pieces[-1] if found is None else found


def bounded(piece: Schedule, steps: int) -> Schedule:
    """The piece with a horizon of exactly so many steps."""
    return piece if piece.horizon == steps else piece.until(steps)


def switched(before: Schedule, after: Schedule, at: int) -> Schedule:
    """`before` up to a step, then `after` as it is from that very step on, already along."""
    first = piecewise_constant((at,), (1.0, 0.0), switch="at")
    rest = piecewise_constant((at,), (0.0, 1.0), switch="at")
    return before * first + after * rest


def affine(low: float, high: float, shape: Schedule) -> Schedule:
    """low + (high - low) * shape, also where high is the lower."""
    return constant(low) + (high - low) * shape
