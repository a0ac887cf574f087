"""What can go wrong with a folder.

CheckpointError           a checkpoint refused, with what differs and what to do; nothing has changed
└── DamagedError          one checkpoint's files are not those that were written
CheckpointWarning         went on, and what to know about it
StoreError                a study's folder refused, likewise
"""


class CheckpointError(Exception):
    """A save, resume or fork that is refused; the message says what differs and what to do.

    Example:
        >>> import tempfile, torch
        >>> from tapered.checkpoint import resume
        >>> try:
        ...     resume(tempfile.mkdtemp(), weight=torch.ones(2))
        ... except CheckpointError as error:
        ...     print("no checkpoint" in str(error))
        True
    """


class DamagedError(CheckpointError):
    """A checkpoint whose files are not those that were written."""


class CheckpointWarning(UserWarning):
    """A resume that went on, but not quite as asked.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", CheckpointWarning)  # a run that is not quite as asked stops here
    """


class StoreError(Exception):
    """A study's folder that cannot be used as asked; the message says what differs and what to do."""
