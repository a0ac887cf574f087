"""A study's folder on a disk that is full, gone or was changed: what is said, and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tapered.files.errors import StoreError
from tapered.study.store.text import Kept


def damaged(folder: Path, known: Kept) -> StoreError:
    """That a bundle's rows are not those that were kept, and what to do."""
    runs = folder / "runs"
    return StoreError(
        f"{runs / str(known.state)} is not the file that was written; delete {runs / f'{known.bundle.name}.json'} and "
        f"its runs are trained again"
    )


@contextmanager
def taking(folder: Path, what: str) -> Iterator[None]:
    """Write to a study's folder, and say so where the disk does not take it.

    Raises:
        StoreError: If it does not.
    """
    try:
        yield
    except OSError as error:
        _check_there(folder, error)
        raise StoreError(
            f"{folder} could not take {what} ({error.strerror}); what was kept before still stands; "
            f"make room, and the same command goes on"
        ) from error


@contextmanager
def reading(folder: Path, path: Path) -> Iterator[None]:
    """Read a bundle from a study's folder, and say so where it cannot be.

    Raises:
        StoreError: If it cannot.
    """
    try:
        yield
    except OSError as error:
        _check_there(folder, error)
        raise StoreError(f"{path} cannot be read ({error.strerror}); the same command trains its runs again") from error


def _check_there(folder: Path, error: OSError) -> None:
    """Say where what failed is not the disk's fault."""
    if not (folder / "runs").is_dir():
        raise StoreError(
            f"{folder} is gone, deleted or moved while the study ran; put it back, or the same command trains it anew"
        ) from error
