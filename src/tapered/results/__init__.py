"""A study from Python: asked by one call, its answer a value to print, to look at, to go on with.

file, name or Study ─► study ─► Result ─┬─► arms: schedules, peaks, values    verdicts    to_pandas
a finished study's folder ─► open ──────╯  ╰─► plot ─► Plot: a picture in a notebook, a file
"""

from tapered.results.arms import Arm as Arm
from tapered.results.arms import Arms as Arms
from tapered.results.asked import study as study
from tapered.results.plot import Plot as Plot
from tapered.results.result import Result as Result
from tapered.results.verdicts import Verdict as Verdict

__all__ = ["Arm", "Arms", "Plot", "Result", "Verdict", "study"]
