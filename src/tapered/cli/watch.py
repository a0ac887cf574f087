"""`tapered watch`: a study's page on this machine's own address, as it is rewritten."""

import signal
from pathlib import Path

from tapered.cli.terminal import INTERRUPTED, Flag, results, write


def watch(
    folder: Path,
    /,
    *,
    port: int = 0,
    debug: Flag = False,  # noqa: ARG001 - read by main
) -> int:
    """Serve a study's page on 127.0.0.1, for this machine alone, until Ctrl-C; it comes again until the study ends.

    Args:
        folder: The study's folder, studies/NAME-HASH; nothing is written there.
        port: Where; 0 takes one that is free.
        debug: Show a traceback when something fails.
    """
    from tapered.files.errors import StoreError  # noqa: PLC0415 - seconds, which --help need not wait for
    from tapered.report.serve import PAGE, Watched  # noqa: PLC0415 - as above
    from tapered.study.store.look import NO_STUDY, STATED  # noqa: PLC0415 - as above

    if not 0 <= port <= 65_535:
        raise ValueError(f"got --port {port}; expected 1 to 65535, or none for one that is free")
    if not any((folder / name).is_file() for name in (STATED, PAGE)):
        raise StoreError(f"{folder} {NO_STUDY}")
    try:
        server = Watched(folder, port)
    except OSError as error:
        raise ValueError(f"port {port} cannot be had ({error.strerror}); try another --port, or none") from error
    ways = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(way, signal.default_int_handler) for way in ways]
    try:
        with server:
            write(f"{folder / PAGE} is shown at {server.url} until Ctrl-C.")
            results().flush()
            server.serve_forever()
    except KeyboardInterrupt:
        return INTERRUPTED
    finally:
        for way, handler in zip(ways, before, strict=True):
            signal.signal(way, handler)
    return INTERRUPTED
