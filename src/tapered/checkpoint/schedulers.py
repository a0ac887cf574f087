"""torch's LRSchedulers as parts: their settings must be those that were saved, since a loaded state replaces them."""

from collections.abc import Mapping
from typing import Any

from torch.optim.lr_scheduler import LRScheduler

from tapered.files.errors import CheckpointError
from tapered.files.tree import leaves, same

# what moves while a scheduler runs, in torch 2.13's own; the rest are settings
MOVING = {
    "last_epoch", "_step_count", "_last_lr", "T_cur", "T_i", "best", "num_bad_epochs", "cooldown_counter",
    "_is_initial", "_get_lr_called_within_step",
}  # fmt: skip


def check(name: str, part: LRScheduler, own: Mapping[str, Any], saved: Mapping[str, Any]) -> None:
    """The saved scheduler has this one's settings and groups.

    Raises:
        CheckpointError: with the setting and both values.
    """
    groups = len(part.optimizer.param_groups)
    for key in ("base_lrs", "_last_lr"):
        if len(saved.get(key, range(groups))) != groups:
            raise CheckpointError(f"`{name}.{key}` was saved for {len(saved[key])} parameter groups; here are {groups}")
    mine, theirs = _settings(own), _settings(saved)
    for path in sorted({*mine, *theirs}):
        one, other = mine.get(path, "nothing"), theirs.get(path, "nothing")
        if not same(one, other):
            raise CheckpointError(
                f"`{name}.{path}` differs: saved {other!r:.80}, this scheduler's {one!r:.80}, and torch would take the "
                f"saved one silently; build the scheduler as it was, or fork(...) to another rate"
            )


def _settings(state: Mapping[str, Any]) -> dict[str, Any]:
    return {path: value for path, value in leaves(state) if MOVING.isdisjoint(path.split("/"))}
