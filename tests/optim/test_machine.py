"""Some hundred random histories of every optimizer: the rate, the count and the weights are right, or it was refused.

`benchmarks/faults/histories.py 10000` makes more of them.
"""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from machine import Attached, Own

FEW = settings(deadline=None, max_examples=120, stateful_step_count=25, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("machine", [Own, Attached])
def test_any_history(machine) -> None:
    run_state_machine_as_test(machine, settings=FEW)
