"""Runs the pages of docs that need frameworks where they are installed: the tests leave out what is not."""

import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parent.parent
sys.path[0] = str(BENCHMARKS)  # here, a module hides the framework of its name


def main() -> int:
    import pytest
    from trainers import stubs
    from transformers import Trainer  # before the stubs, which it would take for torchvision

    stubs.put(*(name for names in stubs.NEEDED.values() for name in names))
    house = str(BENCHMARKS.parents[1] / "tests" / "test_house.py")
    return pytest.main(["-q", "-rs", "-W", "ignore", house, "-k", "trainers or lightning"]) if Trainer else 1


if __name__ == "__main__":
    sys.exit(main())
