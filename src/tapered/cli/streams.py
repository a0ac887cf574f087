"""What a command prints, whatever is behind stdout and stderr: a closed pipe, no stream at all, an ASCII terminal."""

import ctypes
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import wraps
from typing import TextIO

Main = Callable[[Sequence[str] | None], int]
FAILED = 1


class Steady(io.TextIOBase):
    r"""A stream whose reader may go away, and whose encoding may lack letters: those are written as `\xb1`.

    Args:
        stream: Where text goes; None where the process was started without one.

    >>> raw = io.BytesIO()
    >>> stream = Steady(io.TextIOWrapper(raw, encoding="ascii"))
    >>> stream.write("0.1 ± 0.2"), stream.flush(), raw.getvalue()
    (9, None, b'0.1 \\xb1 0.2')
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream
        self.lost: OSError | None = None  # why something was not taken; a reader who left asked for no more

    @property
    def encoding(self) -> str:  # type: ignore[override]  # TextIOBase has it as an attribute
        """The stream's."""
        return getattr(self._stream, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write what can be, as it can be."""
        if self._stream is not None:
            try:
                self._stream.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except OSError as error:
                self._drop(error)
        return len(text)

    def flush(self) -> None:
        """Hand over what was written."""
        if self._stream is not None:
            try:
                self._stream.flush()
            except OSError as error:
                self._drop(error)

    def fileno(self) -> int:
        """The stream's."""
        if self._stream is None:
            raise io.UnsupportedOperation("there is no stream")
        return self._stream.fileno()

    def isatty(self) -> bool:
        """Whether a person looks on."""
        return self._stream is not None and self._stream.isatty()

    def close(self) -> None:
        """Nothing: the stream is the process's."""

    def _drop(self, error: OSError) -> None:
        """Nobody reads on, or nothing is taken: the rest, and what Python flushes at its end, goes nowhere."""
        self.lost = None if isinstance(error, BrokenPipeError) else error
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self.fileno())
            os.close(nowhere)
        self._stream = None


def steady(main: Main) -> Main:
    """A command's main function on steady streams; what stdout does not take, as a full disk, is a failure."""

    @wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        before = sys.stdout, sys.stderr
        with apart(sys.stdout) as stdout:
            sys.stdout, sys.stderr = out, err = (Steady(stdout), Steady(before[1]))
            try:
                code = main(arguments)
                out.flush()
                if out.lost is not None:
                    err.write(f"tapered: stdout did not take the result ({out.lost.strerror}); make room\n")
                    code = code or FAILED
                err.flush()
                return code
            finally:
                sys.stdout, sys.stderr = before

    return run


@contextmanager
def apart(stream: TextIO | None) -> Iterator[TextIO | None]:
    """Stdout on a descriptor of its own, while descriptor 1 leads to stderr.

    So what C code prints, or a program that somebody's code starts, is no result. Any other stream is left as it is.
    """
    if stream is None or _descriptor(stream) != 1:
        yield stream
        return
    with suppress(OSError):
        stream.flush()
    aside = _duplicate(2)
    kept = os.dup(1)
    os.dup2(aside, 1)
    line = 1 if stream.isatty() else -1
    try:
        with open(kept, "w", line, stream.encoding, stream.errors, closefd=False) as own:
            yield own
    finally:
        with suppress(OSError, TypeError, AttributeError):
            ctypes.CDLL(None).fflush(None)  # what C code printed waits in its library's buffer
        os.dup2(kept, 1)
        os.close(kept)
        os.close(aside)


def _descriptor(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError, AttributeError):
        return None


def _duplicate(descriptor: int) -> int:
    try:
        return os.dup(descriptor)
    except OSError:  # it is closed
        return os.open(os.devnull, os.O_WRONLY)
