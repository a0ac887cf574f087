"""In the place of the store in a worker: what is to be kept is sent to the driver, which alone writes what counts.

Grower ─ put ─► Relay ─► rows: a file of the study's folder, where it is seen here; else bytes of the message
                     ╰─► "put" and the bundle's text ─► the driver's Store
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from tapered import kind
from tapered.files import whole
from tapered.files.errors import StoreError
from tapered.files.whole import plain
from tapered.files.wire import Message
from tapered.rules import Rule
from tapered.study.store.disk import damaged, taking
from tapered.study.store.runs import Bundle
from tapered.study.store.text import Kept, bundle_to_text, pack, unpack
from tapered.training.rows import Rows
from tapered.words import counted


class Relay:
    """What a `Grower` keeps a bundle by.

    Args:
        kept: The bundle as it stands.
        rows: The content of the file of its rows, where the driver sent it.
        folder: The study's folder, where it is seen here.
        send: Tells the driver.
    """

    def __init__(self, kept: Kept, rows: bytes | None, folder: Path | None, send: Callable[[Message], None]) -> None:
        self._kept, self._rows, self._folder, self._send = kept, rows, folder, send

    def holds(self, bundle: Bundle) -> bool:
        """Whether a bundle has been begun: it stands at some step, or has been evaluated."""
        return bundle.name == self._kept.bundle.name and self._kept.state is not None

    def rows(self, bundle: Bundle, rule: Rule) -> Rows:  # noqa: ARG002 - as the store is asked
        """The rows of its live branches.

        Raises:
            StoreError: If they are not those that were kept.
        """
        try:
            return unpack(self._kept, self._data(), rule)
        except ValueError as error:
            if self._rows is None and self._folder is not None:
                raise damaged(self._folder, self._kept) from None
            raise StoreError(f"{error}, as it came here; the same command sends it again") from None

    def _data(self) -> bytes:
        if self._rows is not None or self._folder is None:
            return self._rows or b""
        path = self._folder / "runs" / str(self._kept.state)
        return path.read_bytes() if plain(path) else b""

    def put(self, bundle: Bundle, rows: Rows | None) -> None:
        """Send a bundle and the rows of its live branches."""
        self._tell("put", bundle.name, [(bundle, rows)])

    def replace(self, bundle: Bundle, parts: Sequence[tuple[Bundle, Rows]]) -> None:
        """Send the parts of a bundle, which are to be kept in its place."""
        self._tell("split", bundle.name, parts)

    def _tell(self, what: str, name: str, parts: Sequence[tuple[Bundle, Rows | None]]) -> None:
        texts, pieces = [], []
        for bundle, rows in parts:
            kept, data = pack(bundle, rows, [kind.text(kind.here())])
            if self._folder is not None and kept.state is not None:
                with taking(self._folder, counted(len(bundle.keys), "run")):
                    whole.replace(self._folder / "runs" / kept.state, data)
            texts.append([bundle.name, bundle_to_text(kept)])
            pieces.append(data)
        self._send(Message(what, {"name": name, "parts": texts}, () if self._folder is not None else tuple(pieces)))
