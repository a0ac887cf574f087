"""The command line: lists the verbs, turns errors into sentences and exit codes.

Results go to stdout, progress and errors to stderr; ABOUT says which code means what.
"""

import sys
import traceback
from collections.abc import Iterator, Sequence
from importlib import metadata

from cyclopts import App, CycloptsError

from tapered.cli.help import Help
from tapered.cli.streams import steady
from tapered.cli.terminal import DONE, FAILED, INTERRUPTED, REFUSED, USAGE, complain, console, results_alone

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

ABOUT = f"""Learning rates that decay dependably, and evidence on whether they should.

Exit codes: {DONE} done, {FAILED} a run failed or a check found something, {USAGE} wrong usage, {REFUSED} refused to \
go on in a folder, {INTERRUPTED} interrupted. Results go to stdout, progress and errors to stderr."""
# by name, so that a wrong word on the command line does not wait for torch
CODES = {
    "StoreError": REFUSED,
    "CheckpointError": REFUSED,
    "RunError": FAILED,
    "UndeterminedError": FAILED,
    "RefusedRunError": FAILED,
    "FailedRunsError": FAILED,
    "ValueError": USAGE,
    "TypeError": USAGE,
}

app = App(
    name="tapered",
    help=ABOUT,
    version=lambda: metadata.version("tapered"),
    help_format="plaintext",
    help_formatter=Help(),
    suppress_keyboard_interrupt=False,  # main says what is kept
)
for place, (verb, line) in enumerate(VERBS.items()):
    function = verb.replace("-", "_")
    app.command(f"tapered.cli.{function}:{function}", name=verb, help=line, sort_key=place)
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
            shown = console(stderr=False)
            code = app(given, console=shown, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        complain(f"tapered: {error} Try {' '.join(('tapered', *(error.command_chain or ())))} --help.")
        return USAGE
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
    code = next((CODES[name] for name in _names(error) if name in CODES), None)
    if code is None:
        complain(f"tapered: {type(error).__name__}: {error}{'' if debug else '; --debug shows where'}")
        return FAILED
    complain(f"tapered: {error}")
    return code


def _names(error: Exception) -> Iterator[str]:
    """Of its class; and of those above it, where it is one of tapered's."""
    for kind in type(error).__mro__:
        if kind is type(error) or type(error).__module__.startswith("tapered."):
            yield kind.__name__
