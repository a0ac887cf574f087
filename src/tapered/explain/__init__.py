"""What a step is made of: the schedule, the bias correction, and the direction that past gradients give.

a run, at chosen steps:       explain_run(workload, path, seed) ─► Explanation ─► words, fields
an optimizer, live:           recording(optimizer) ─► Recorder ─► points
"""

from tapered.explain.bounds import Bound as Bound
from tapered.explain.live import Recorder as Recorder
from tapered.explain.live import explain_step as explain_step
from tapered.explain.live import recording as recording
from tapered.explain.points import QUANTILES as QUANTILES
from tapered.explain.points import Explanation as Explanation
from tapered.explain.points import Point as Point
from tapered.explain.points import Series as Series
from tapered.explain.points import Split as Split
from tapered.explain.points import TermPoint as TermPoint
from tapered.explain.points import fields as fields
from tapered.explain.points import split as split
from tapered.explain.run import explain_row as explain_row
from tapered.explain.run import explain_run as explain_run
from tapered.explain.words import paragraph as paragraph

__all__ = [
    "QUANTILES",
    "Bound",
    "Explanation",
    "Point",
    "Recorder",
    "Series",
    "Split",
    "TermPoint",
    "explain_row",
    "explain_run",
    "explain_step",
    "fields",
    "paragraph",
    "recording",
    "split",
]
