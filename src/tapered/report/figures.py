"""The figures of a study, in the page's order."""

from tapered.report.data import PlotData
from tapered.report.figure import Figure
from tapered.report.lines import Said, lines_figure
from tapered.report.seeds import seeds_figure
from tapered.report.verdicts import verdicts_figure


def _followed(data: PlotData) -> str:
    """What is to be known of arms whose runs had rates of their own."""
    names = list(dict.fromkeys(band.name for band in data.schedules if band.of))
    return f" Of {', '.join(names)}, whose rate followed what each run told, every one that there was." if names else ""


def figures(data: PlotData) -> list[Figure]:
    """What the page shows, in its order; a figure with nothing to draw is left out."""
    value, end = f"validation {data.metric}", f"validation {data.metric} at the end"
    lost = "A cross below: runs diverged or were pruned at that peak."
    curves = Said(
        "curves", f"V{value[1:]}", "step", value,
        f"Each arm at its best peak: mean over seeds, and {data.around}. A cross below: a run diverged there.",
    )  # fmt: skip
    peaks = Said(
        "sensitivity", "How much the peak matters", "peak rate", end,
        f"At the last step, over the peaks that were tried: mean over the seeds that ended, and {data.around}. {lost}",
    )  # fmt: skip
    rates = Said(
        "schedules", "Rates as applied", "step", "rate",
        f"Each arm at its best peak; what its runs were trained with.{_followed(data)}",
    )  # fmt: skip
    trials = Said(
        "trials", "With fewer trials", "peaks tried", f"best {end}",
        "The best of k peaks: the median over all ways of choosing k of those that were tried.",
    )  # fmt: skip
    log = not data.higher
    scored = [band for band in data.trials if any(value is not None for value in band.mean)]
    found = [
        verdicts_figure(data),
        lines_figure(data, data.curves, curves, log=log),
        lines_figure(data, data.sensitivity, peaks, log=log, powers=True),
        seeds_figure(data),
        lines_figure(data, data.schedules, rates, log=True),
        lines_figure(data, scored, trials, log=log, powers=True),
    ]
    return [figure for figure in found if figure is not None]
