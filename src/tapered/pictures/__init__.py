"""Pictures as SVG for page, notebook and file, and as characters for terminals; they load nothing.

values ─► Scale: where each stands, what is written beside it ─► Panel: axes, lines, bands, bars, crosses ─► <svg>
                                                              ╰─► Letters: axes, a line, crosses ─► lines of text
"""

from tapered.pictures.files import destination
from tapered.pictures.letters import Letters
from tapered.pictures.panel import SMALL, WHOLE, Panel, Size, cross, shorter, smooth, text
from tapered.pictures.scale import Marks, Points, Scale, over, signed, spread

__all__ = [
    "SMALL",
    "WHOLE",
    "Letters",
    "Marks",
    "Panel",
    "Points",
    "Scale",
    "Size",
    "cross",
    "destination",
    "over",
    "shorter",
    "signed",
    "smooth",
    "spread",
    "text",
]
