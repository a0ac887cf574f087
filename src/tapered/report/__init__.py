"""A study's result as one HTML file that opens anywhere, offline.

StudyResult ─► PlotData (small frozen tuples) ─► figures (plotly's own dicts) ─► one page
"""

from importlib import resources
from pathlib import Path

from tapered.files.whole import replace
from tapered.report.data import Band, Bars, PlotData, plot_data
from tapered.report.figures import COLOURS, DASHES, Figure, figures
from tapered.stats.seeds import seeds_that_reach
from tapered.study import summary
from tapered.study.result import StudyResult, mean
from tapered.study.summary import between, cost_lines, gained, number, outcome

__all__ = [
    "COLOURS",
    "DASHES",
    "Band",
    "Bars",
    "Figure",
    "PlotData",
    "figures",
    "plot_data",
    "render",
    "write",
]


def render(result: StudyResult, command: str) -> str:
    """The page: the verdict first, then curves, sensitivity, rates, differences, tables, and how to make it again.

    The same result and command give the same bytes. It loads nothing from anywhere.
    """
    import jinja2  # noqa: PLC0415 - heavy, and only a report needs it
    from plotly.offline import get_plotlyjs  # noqa: PLC0415 - as above

    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters |= {"number": number, "outcome": outcome, "mean": mean, "cost_lines": cost_lines}
    environment.filters["gained"] = gained
    environment.globals |= {"between": between}
    template = environment.from_string((resources.files("tapered.report") / "page.html.jinja").read_text())
    data = plot_data(result)
    return template.render(
        result=result,
        study=result.asked.study,
        data=data,
        asked=summary.asked_lines(result.asked.study),
        headline=summary.headline(result),
        verdicts=summary.verdict_rows(result),
        compared_with=sorted({comparison.baseline for comparison in result.comparisons}),
        level=f"{100 * (1 - result.asked.study.alpha):g}%",
        for_flips=seeds_that_reach(result.asked.study.alpha),
        fresh_seeds=len({run.seed for run in result.fresh}),
        lost=[run for run in (*result.runs, *result.fresh) if outcome(run) != "finished"],
        ks=sorted({found.k for arm in result.arms if not arm.fixed for found in arm.trials}),
        figures=figures(data),
        command=command,
        file=result.file,
        facts=result.facts,
        plotly=get_plotlyjs(),
    )


def write(result: StudyResult, path: Path, command: str) -> None:
    """Write the page to a file, whole or not at all."""
    replace(path, render(result, command).encode())
