"""What stands in a study's folder, read and checked: bundles of runs, and how rows are trained.

runs/NAME.json ─► parsed ─► Kept, ... ─► wholes ─► those of which no two have a run in common
"""

import re
from collections.abc import Sequence
from pathlib import Path

from tapered.files.errors import StoreError
from tapered.files.sealed import unsealed
from tapered.study.store.text import Kept, bundle_from_text
from tapered.training.advance import Mode

NAME = "[0-9a-f]{20}"  # as `run_key` makes it
KEY = re.compile(NAME)
BUNDLE, STATE = re.compile(rf"{NAME}\.json"), re.compile(rf"{NAME}-[0-9a-f]{{12}}\.safetensors")
LEFT = re.compile(rf"(?:{BUNDLE.pattern}|{STATE.pattern})\.tmp")


def parsed(path: Path) -> Kept:
    """A bundle as its file has it, whose file of rows is one of this folder's.

    Raises:
        ValueError, RecursionError: It is not what was written.
        OSError: It cannot be read.
    """
    found = bundle_from_text(path.read_text(), path.stem)
    if found.state is not None and not (STATE.fullmatch(found.state) and found.state.startswith(path.stem)):
        raise ValueError(f"state={found.state!r:.80} is no file of its rows")
    return found


def wholes(found: Sequence[Kept]) -> list[Kept]:
    """Bundles of which no two have a run in common: a bundle that was being halved counts, and its halves do not."""
    kept: list[Kept] = []
    taken: set[str] = set()
    for known in sorted(found, key=lambda known: -len(known.bundle.keys)):
        if taken.isdisjoint(known.bundle.keys):
            kept.append(known)
            taken |= set(known.bundle.keys)
    return kept


def read_modes(path: Path) -> dict[str, Mode]:
    """How each rule's rows are trained; none where nothing is trained yet.

    Raises:
        StoreError: It is not what was written.
    """
    try:
        fields = unsealed(path.read_text()) if path.exists() else {}
        return {rule: Mode(**mode) for rule, mode in fields.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StoreError(
            f"{path} is damaged ({error}); put it back, or delete it and {path.parent / 'runs'}, whose runs are then "
            f"trained again"
        ) from error
