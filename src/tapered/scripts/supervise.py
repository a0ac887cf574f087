"""One run of a script: started, watched, started again, ended.

Command ─► start ─► watch ─► how it ended ─► again, or Ended
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """How long a script may take, in seconds, and how often it is started again.

    Args:
        startup: Without a sign of life, before the first report of a start: imports and compilation take long.
        silence: Without a sign of life from then on: no byte in what it reports, prints or writes to its folder.
        timeout: For the run as a whole, all its starts together; None for as long as it takes.
        grace: Between being asked to end and SIGTERM, and between that and SIGKILL.
        retries: Starts after the one that got furthest. Each start that gets further begins the count anew.
        output: Bytes that are kept of each output of a start, its beginning and its end.
    """

    startup: float = 600.0
    silence: float = 600.0
    timeout: float | None = None
    grace: float = 30.0
    retries: int = 2
    output: int = 64 << 20
