"""How an arm looks in all figures, and a verdict in that of the verdicts."""

from collections.abc import Sequence

# Okabe and Ito 2008: told apart by colour-blind readers; the dashes tell them apart in grey
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8B7FD6", "#7F7F7F")
DASHES = ("", "7 4", "2 3", "8 3 2 3", "12 4", "12 3 2 3 2 3", "", "7 4")
VERDICTS = {"better": "#009E73", "worse": "#D55E00", "the same": "#0072B2"}
UNSURE = "#7F7F7F"


def look(name: str, order: Sequence[str]) -> tuple[str, str]:
    """An arm keeps its colour and its dash over all figures; where colours begin again, dashes are others."""
    place = order.index(name)
    return COLOURS[place % len(COLOURS)], DASHES[(place + place // len(COLOURS)) % len(DASHES)]
