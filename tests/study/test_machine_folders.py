"""Some histories of folders; thousands: `python benchmarks/faults/histories_folders.py 2000`."""

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from machine_folders import Folders

FEW = settings(deadline=None, max_examples=16, stateful_step_count=8, suppress_health_check=list(HealthCheck))


def test_any_history_of_a_folder() -> None:
    run_state_machine_as_test(Folders, settings=FEW)
