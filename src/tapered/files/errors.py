"""What can go wrong with a folder.

CheckpointError           a checkpoint refused, with what differs and what to do; nothing has changed
└── DamagedError          one checkpoint's files are not those that were written
CheckpointWarning         went on, and what to know about it
StoreError                a study's folder refused, likewise
"""


class CheckpointError(Exception):
    """A save, resume or fork that is refused; the message says what differs and what to do."""


class DamagedError(CheckpointError):
    """A checkpoint whose files are not those that were written."""


class CheckpointWarning(UserWarning):
    """A resume that went on, but not quite as asked."""


class StoreError(Exception):
    """A study's folder that cannot be used as asked; the message says what differs and what to do."""
