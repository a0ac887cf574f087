"""Pictures as SVG for page and notebook: they take the ink of what they stand on, and load nothing.

values ─► Scale: where each stands, what is written beside it ─► Panel: axes, lines, bands, bars, crosses ─► <svg>
"""

from tapered.pictures.panel import SMALL, WHOLE, Marks, Panel, Size, cross, shorter, smooth, text
from tapered.pictures.scale import Scale, over, signed

__all__ = ["SMALL", "WHOLE", "Marks", "Panel", "Scale", "Size", "cross", "over", "shorter", "signed", "smooth", "text"]
