"""Back to the last checkpoint whose numbers are all finite, so many times and no more."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from tapered.checkpoint import CheckpointError, Resumed, resume
from tapered.checkpoint.files import listed, manifest
from tapered.checkpoint.lock import shown
from tapered.guards.errors import GradientError
from tapered.guards.faults import Fault


class Rewind:
    """Puts every part back; called with the reason."""

    def __init__(self, folder: Path, parts: Mapping[str, Any], most: int) -> None:
        self.folder, self.parts, self.most = folder, parts, most
        self._newest: Path | None = None
        self._times = 0

    def __call__(self, fault: Fault) -> Resumed:
        """Go back.

        Raises:
            GradientError: there is nowhere to go back to, or the run has come from there too often; nothing has
                changed.
        """
        known = finite(self.folder)
        if not known:
            raise GradientError(
                fault,
                f"{shown(self.folder)} holds no finite checkpoint to go back to, so nothing has changed; "
                f"save({str(self.folder)!r}, 0, ...) before the first step",
            )
        newest = next(iter(known.values()))
        self._newest, self._times = newest, self._times + 1 if newest == self._newest else 1
        if self._times > self.most:
            raise GradientError(
                fault,
                f"the run went back to {newest.name} {self.most} times and came here again, so nothing has changed; "
                "the same batches at the same rate give the same gradient: try other batches after Rewound, a lower "
                "rate, or a larger `most`",
            )
        found = self._resumed(fault, known)
        self._fresh()
        return found

    def _resumed(self, fault: Fault, known: Mapping[int, Path]) -> Resumed:
        errors: list[CheckpointError] = []
        for step in known:
            try:
                return resume(self.folder, step=step, hypers="saved", attributes="saved", **self.parts)
            except CheckpointError as error:  # damaged: the one before it may be whole
                errors.append(error)
        raise GradientError(
            fault, f"no checkpoint can be gone back to, so nothing has changed: {errors[0]}"
        ) from errors[0]

    def _fresh(self) -> None:
        """What the step under way has left behind: gradients, and a GradScaler's note that they are unscaled."""
        for part in self.parts.values():
            if isinstance(part, torch.optim.Optimizer):
                part.zero_grad()
            elif isinstance(part, torch.amp.GradScaler):
                part._per_optimizer_states.clear()  # noqa: SLF001  # else it would not unscale the next gradients


def finite(folder: Path) -> dict[int, Path]:
    """Step -> checkpoint, the newest first; of two at a step the newer one counts, since `resume` takes that."""
    found: dict[int, tuple[bool, Path]] = {}
    for path in listed(folder):
        try:
            fields = manifest(path)
        except CheckpointError:
            continue
        found.setdefault(fields["step"], (fields["finite"], path))
    return {step: path for step, (sound, path) in found.items() if sound}
