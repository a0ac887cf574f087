"""How long a script may take, and how often it is started."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long a script may take, in seconds, and how often it is started again.

    Args:
        startup: Without a sign of life, before the first report of a start: imports and compilation take long.
        silence: Without a sign of life from then on: no byte in what it reports, prints or writes to its folder.
        timeout: For the run as a whole, all its starts in one call together; None for as long as it takes.
        grace: Between being asked to end and SIGTERM, and between that and SIGKILL.
        retries: Starts after the one that got furthest. Each start that gets further begins the count anew.
        output: Bytes that are kept of each output of a start, its beginning and its end.
        keep: A regular expression; lines of an output that have it are kept as well, since they report something.
    """

    startup: float = 600.0
    silence: float = 600.0
    timeout: float | None = None
    grace: float = 30.0
    retries: int = 2
    output: int = 64 << 20
    keep: str | None = None
