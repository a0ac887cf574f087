"""The learning-rate range test: losses over a log grid of rates, what the literature's rules read from them.

workload, or a model and optimizer of one's own ─► some steps at each rate ─► Curve ─► suggestions, picture
"""

from tapered.range_test.curve import Curve as Curve
from tapered.range_test.curve import Suggestion as Suggestion
from tapered.range_test.curve import fields as fields
from tapered.range_test.picture import save as save
from tapered.range_test.picture import svg as svg
from tapered.range_test.picture import terminal as terminal
from tapered.range_test.picture import told as told
from tapered.range_test.unchanged import unchanged as unchanged
from tapered.range_test.user import ramp_model as ramp_model
from tapered.range_test.workload import grid as grid
from tapered.range_test.workload import ramp as ramp
from tapered.range_test.workload import range_test as range_test

__all__ = [
    "Curve",
    "Suggestion",
    "fields",
    "grid",
    "ramp",
    "ramp_model",
    "range_test",
    "save",
    "svg",
    "terminal",
    "told",
    "unchanged",
]
