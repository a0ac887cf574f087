"""`kill -9` at the moments of a command's first second: the same command goes on, to the undisturbed results."""

import os
import signal
from pathlib import Path

import pytest
from saving import forked

from tapered import checkpoint
from tapered.cli.main import main
from tapered.run import setting as settings
from tapered.run import single

RUN = ["run", "quadratic", "--rule", "SGD", "--lr", "1e-3", "--steps", "4", "--store", "kept"]
CALLS = {"open": os.open, "rename": os.rename, "mkdir": os.mkdir, "write": os.write, "fsync": os.fsync}

pytestmark = [pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"), pytest.mark.usefixtures("here")]


def killed_at(place: int) -> int:
    """The run, in a process that dies as it makes its so many-th call to the system."""
    count = 0

    def dying(real):
        def call(*args, **named):
            nonlocal count
            count += 1
            if count == place:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call

    for name, real in CALLS.items():
        setattr(os, name, dying(real))
    return main(RUN)


def weights(folder: str) -> list[float]:
    found = single.Single(settings.setting_in(Path(folder))[0])
    checkpoint.resume(folder, partial=True, run=found)
    return found.rows.params["w"].flatten().tolist()


def test_a_run_killed_in_its_first_saves_goes_on():
    assert forked(lambda: main(RUN)) == 0
    expected = weights("kept")
    codes = []
    for place in range(1, 40, 3):
        Path("kept").rename(f"before{place}")
        codes.append(forked(lambda place=place: killed_at(place)))
        assert forked(lambda: main(RUN)) == 0, place
        assert weights("kept") == expected
        assert not list(Path("kept").glob(".tmp-*"))
    assert codes.count(-signal.SIGKILL) > 10
