"""Which kind of processor a run's script was started on, where that is another machine than the study's.

a node of a cluster ─► enter: refused where another kind is asked ─► the run's folder: kinds, a line each ─► kinds_of
"""

import socket
from pathlib import Path

from tapered import kind
from tapered.scripts.errors import ScriptError
from tapered.scripts.lines import whole

KINDS = "kinds"


def enter(folder: Path, asked: str | None) -> None:
    """Write down the kind of this machine, where a script is about to be started.

    Args:
        folder: The run's.
        asked: The kind that may run it, as text; None for any.

    Raises:
        ScriptError: It is another one.
        OSError: The disk does not take it.
    """
    now = kind.here()
    if asked is not None and (differing := kind.differing(kind.read(asked), now)):
        raise ScriptError(
            f"node {socket.gethostname()} is another kind of processor than the study's own: {'; '.join(differing)}; "
            f'results would differ in their last bits; take nodes of one kind, or kinds = "any" in the study'
        )
    if kind.text(now) not in kinds_of(folder):
        with (folder / KINDS).open("a") as file:
            file.write(f"{kind.text(now)}\n")


def kinds_of(folder: Path) -> list[str]:
    """The kinds of the machines that a run's script was started on, as text; none where that was the study's own."""
    return list(whole(folder / KINDS))
