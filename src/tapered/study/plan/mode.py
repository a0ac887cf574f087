"""How a rule's rows are trained, and how many at once."""

from tapered.rules.base import Rule
from tapered.study.file.script import Scripted
from tapered.study.plan.forest import Forest
from tapered.study.plan.planned import Planned
from tapered.training import modes
from tapered.training.advance import LOOP, Mode, advance, evaluated
from tapered.training.capacity import most_rows
from tapered.training.crew import crew
from tapered.training.devices import CPU
from tapered.training.memory import is_out_of_memory
from tapered.training.probe import RATE, Phase, unheard
from tapered.training.rows import start, tabulate

LEAST = 1e-4  # seconds that a step of any model takes as ordinary PyTorch; a perceptron's takes three times as long


def likely_compiled(planned: Planned) -> bool:
    """Whether a study takes long in a loop however fast that is, so that its rows will most likely be compiled."""
    study, subject = planned.study, planned.subject
    if isinstance(subject, Scripted) or subject.recipe.alone or subject.recipe.place != CPU:
        return False
    if study.mode not in ("auto", "rows compiled"):
        return False
    runs = study.seeds * sum(len(study.peaks_of(arm)) for arm in study.arms)
    return runs * planned.steps * LEAST > modes.LONG


def timed_mode(forest: Forest, rule: Rule, workers: int = 1, phase: Phase = unheard) -> modes.Timed:
    """How the rows of a rule are trained, and the seconds of a step of a row.

    A model that raises in an ordinary loop too is left to the loop, which raises again and names the run.

    Args:
        forest: What is trained.
        rule: Of which the rule.
        workers: How many processes share its rows, and this machine's memory.
        phase: Called with "compiling" before that begins.

    Raises:
        ModeError: If the study's file asks for a mode that cannot be taken.
    """
    trees, workload, steps = forest.trees(rule), forest.workload, forest.marks[-1]
    try:
        most = most_rows(workload, rule, workers)
        rows = min(most, -(-sum(forest.plan.width(tree) for tree in trees) // workers))
        crowd = [
            (min(most, -(-many // workers)), steps)
            for many, steps in forest.plan.crowd([i for tree in trees for i in tree])
        ]
        with crew(workload):
            if forest.mode == "auto":
                return modes.forecast(workload, rule, rows, steps, crowd, phase)
            return modes.fixed(workload, rule, forest.mode, rows, steps, crowd, phase)
    except modes.ModeError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            reason = "memory ran out when a few steps were tried"
        elif _raises_alone(forest, rule):
            reason = "the model, its loss or its data raise an error, in an ordinary loop too"
        else:
            raise  # it is ours
        return modes.Timed(Mode("loop", 1, reason), float("nan"))


def _raises_alone(forest: Forest, rule: Rule) -> bool:
    """Whether a few steps of a row as ordinary PyTorch raise, or its evaluation."""
    try:
        begun = start(forest.workload, rule, [0])
        advance(forest.workload, begun, [tabulate(rule, 64, lr=RATE)], 64, mode=LOOP)
        evaluated(forest.workload, begun)
    except Exception:  # noqa: BLE001 - the model's own
        return True
    return False


def bundle_rows(forest: Forest, rule: Rule, mode: Mode, workers: int = 1) -> int:
    """The most rows of a bundle; the loop trains a tree at a time, so that each run is kept when it is finished.

    Where several workers share the rows, each has a bundle, of whole programs where one is compiled.
    """
    if mode.kind == "loop":
        return 1
    most = most_rows(forest.workload, rule, workers)
    if workers == 1:
        return most
    whole = mode.width if mode.kind == "rows compiled" else 8
    each = -(-sum(forest.plan.width(tree) for tree in forest.trees(rule)) // workers)
    return min(most, -(-each // whole) * whole)
