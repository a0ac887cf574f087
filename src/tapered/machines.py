"""Where work can be done: the cores of this machine, and the room of a Ray cluster.

address ─► join ─► room(what one piece of work needs) ─► how many at a time
"""

import ipaddress
import os
import signal
import socket
import threading
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

# a Ray that is begun here takes nobody's code who has no token, and tells nobody of its use
SETTINGS = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
HEARD = 10.0  # seconds in which a cluster's head answers


class MachineError(ValueError):
    """There are no such machines; the message says what to do."""


def cores() -> int:
    """The cores that this process may use."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with suppress(OSError, ValueError):  # a container's share; "max" where it has all
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        found = min(found, max(1, int(quota) // int(period)))
    return found


def ray() -> Any:
    """Ray, which is an extra.

    Raises:
        MachineError: It is not installed.
    """
    try:
        import ray  # noqa: PLC0415 - an extra
    except ImportError:
        raise MachineError("Ray is not installed; try: pip install 'tapered[ray]'") from None
    return ray


def join(address: str) -> bool:
    """Join a cluster, or begin one of this machine for the address "local"; whether it is to be left again.

    Raises:
        MachineError: There is none, or it is joined in another way.
    """
    there = os.environ.get("RAY_ADDRESS") or address if address == "auto" else address  # as Ray reads it
    if there.startswith("ray://"):  # its client passes on no stream of answers
        raise MachineError(
            f"address={there!r} is that of Ray's client; run this on a node of the cluster with the "
            f"address auto, as by ray job submit -- tapered study ..."
        )
    if address == "local":
        os.environ.update(SETTINGS)  # before Ray is imported, which reads them then
    found = ray()
    if found.is_initialized():
        return False
    if address != "local":
        _reach(there)
        warn(there)
    before = signal.getsignal(signal.SIGTERM)
    try:
        found.init(address=address, include_dashboard=False if address == "local" else None)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise MachineError(
            f"no Ray at address={address!r} ({error}); try ray start --head, or the address local"
        ) from error
    except SystemExit:  # by Ray's handler of SIGTERM, while it tries
        raise KeyboardInterrupt from None
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own would exit, where a study is to be stopped and kept
    return True


def _reach(address: str) -> None:
    """Refuse a host and port at which nobody is heard: Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdecimal()):
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), HEARD).close()
    except (OSError, OverflowError) as error:
        raise MachineError(
            f"nobody answers at address={address!r} ({error}); try ray start --head there, or the address local"
        ) from error


def warn(address: str) -> None:
    """Say so where anybody who reaches a cluster could run code on it."""
    host = address.rpartition(":")[0].strip("[]")
    try:
        near = ipaddress.ip_address(host).is_loopback
    except ValueError:
        near = host in ("", "localhost")
    if not near and os.environ.get("RAY_AUTH_MODE") != "token":
        warnings.warn(
            f"the Ray at {address} is joined without authentication: whoever reaches it runs code there; set "
            f"RAY_AUTH_MODE=token here and on its nodes",
            stacklevel=2,
        )


def room(needs: Mapping[str, int]) -> int:
    """How many pieces of work a cluster has room for.

    Args:
        needs: What each needs, by Ray's names of options: num_cpus, num_gpus.

    Raises:
        MachineError: Not for one.
    """
    there = ray().cluster_resources()
    each = {"CPU": needs.get("num_cpus", 0), "GPU": needs.get("num_gpus", 0)}
    fits = [int(there.get(name, 0) // need) for name, need in each.items() if need]
    if not min(fits):
        raise MachineError(
            f"the cluster has {there}, and a worker needs {dict(needs)}; add nodes, or take fewer threads"
        )
    return min(fits)
