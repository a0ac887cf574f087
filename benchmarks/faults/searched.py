"""Histories of a state machine drawn at random: what went wrong in them, as text."""

from typing import Any

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.reporting import with_reporter
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test


def failure(machine: type[RuleBasedStateMachine], count: int, steps: int, number: int, *, short: bool) -> str:
    """The first thing that went wrong in `count` histories of so many `steps`; nothing where nothing did.

    Args:
        machine: What is done, and what must hold.
        count: Histories.
        steps: Operations of each, at most.
        number: What the draws follow.
        short: Make a failure as short as possible.
    """
    said: list[Any] = []
    drawn = seed(number)(type(machine.__name__, (machine,), {}))
    every = settings(
        max_examples=count, stateful_step_count=steps, deadline=None, database=None, print_blob=False,
        phases=[Phase.generate, *[Phase.shrink] * short], report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    with with_reporter(said.append):
        try:
            run_state_machine_as_test(drawn, settings=every)
        except Exception as error:  # noqa: BLE001  # whatever it is, it is told
            notes = getattr(error, "__notes__", [])
            lines = [line for line in "\n".join([*map(str, said), *notes]).splitlines() if line.startswith("state")]
            return "\n".join([f"{type(error).__name__}: {error}"[:800], *lines])
    return ""
