"""The command line: lists the verbs, turns errors into sentences and exit codes.

Results go to stdout, progress and errors to stderr. Exit codes: 0 done, 1 a run failed, 2 wrong usage, 3 refused to
go on in a folder, 130 interrupted.
"""

import sys
import traceback
from collections.abc import Sequence
from importlib import metadata

from cyclopts import App, CycloptsError
from rich.console import Console

from tapered.cli.streams import steady
from tapered.cli.terminal import DONE, FAILED, INTERRUPTED, REFUSED, USAGE, complain, results, results_alone

# each is a function in a file of its own, imported when it is asked for
VERBS = {
    "run": "Train one run of a workload, saved as it goes; the same command goes on with it.",
    "resume": "Go on with a run from its last checkpoint.",
    "fork": "Go on from a run's last checkpoint at another rate, in a folder of its own.",
    "check": "Verify every checkpoint of a run; show steps, rates, schedules, lineage.",
    "study": "Run a study, or go on with it, and print its verdict.",
    "show": "Show a study's question and answer, or how far it is, from its folder; also while it runs.",
    "watch": "Serve a study's page to this machine's browsers, while it runs and after.",
    "export": "Write what a study found best as code for tapered, torch, transformers, Lightning, Keras or optax.",
    "tune": "Search the peak and the schedule of every arm, as many trials each, and print the verdict.",
    "claims": "Show what was found of each claim of the question; or measure it again.",
    "explain": "Show what a run's steps are made of: schedule, bias correction, direction.",
    "range-test": "Try a log grid of rates for a few steps, and show what the usual rules suggest.",
    "recommend": "Show a schedule to start from, who says so, what was measured; write the study that settles it.",
    "schedule": "Show a schedule: values around its boundaries, and a plot.",
    "bound": "Show what theory says of schedules: worst cases, and expected losses on a quadratic.",
    "convert": "Write another framework's schedule as one of tapered's, or the way back.",
    "doctor": "Show what this machine has for training, what is missing, and how to get it.",
}

app = App(
    name="tapered",
    help="Learning rates that decay dependably, and evidence on whether they should.",
    version=lambda: metadata.version("tapered"),
    help_format="plaintext",
    suppress_keyboard_interrupt=False,  # main says what is kept
)
for verb, line in VERBS.items():
    function = verb.replace("-", "_")
    app.command(f"tapered.cli.{function}:{function}", name=verb, help=line)
app.register_install_completion_command(help="Complete words in this shell from now on.")


@steady
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        arguments: Words after ``tapered``; None takes the process's own.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with results_alone():
            code = app(given, console=Console(file=results()), exit_on_error=False, result_action="return_value")
    except CycloptsError:
        return USAGE  # printed already, with what was expected
    except KeyboardInterrupt:
        complain("Stopped at once; what was finished is kept.")
        return INTERRUPTED
    except SystemExit as error:
        complain(f"tapered: the workload's code called sys.exit({error.code!r}) while it ran; let it raise an error")
        return FAILED
    except Exception as error:  # noqa: BLE001 - the last place where an error can become a sentence
        return _failed(error, debug="--debug" in given)
    return code if isinstance(code, int) else DONE


def _failed(error: Exception, *, debug: bool) -> int:
    if debug:
        complain("".join(traceback.format_exception(error)))
    complain(f"tapered: {error}")
    # by name, so that a wrong word on the command line does not wait for torch
    match type(error).__name__:
        case "StoreError" | "UnwritableError" | "CheckpointError":
            return REFUSED
        case "RunError" | "RefusedRunError" | "FailedRunsError":
            return FAILED
        case (
            "StudyFileError"
            | "ScriptError"
            | "MachineError"
            | "ModeError"
            | "UnsteadyError"
            | "ValueError"
            | "TypeError"
        ):
            return USAGE
    if not debug:
        complain(f"({type(error).__name__}; --debug shows where)")
    return FAILED
