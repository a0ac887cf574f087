"""A study's result as one HTML file that opens anywhere, offline.

StudyResult ─► PlotData (small frozen tuples) ─► Figures: pictures and their numbers ─┐
           └─► Tables ────────────────────────────────────────────────────────────────┴─► one page

while it is trained: Partial ─► the same, of what is known so far ─► Live, now and then
                     finished runs ─► logged ─► TensorBoard, W&B, ..., and at the end the verdict
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tapered.files.whole import replace
from tapered.report import sources, tables
from tapered.report.data import Band, Bars, Difference, PlotData, plot_data
from tapered.report.figure import Figure, Series
from tapered.report.figures import figures
from tapered.report.live import Live
from tapered.report.look import COLOURS, DASHES
from tapered.report.table import Table, table
from tapered.report.template import filled
from tapered.stats.seeds import seeds_that_reach
from tapered.study import summary
from tapered.study.result import StudyResult
from tapered.study.result.followed import followed
from tapered.study.store.runs import Run
from tapered.study.summary import outcome

__all__ = [
    "COLOURS",
    "DASHES",
    "Band",
    "Bars",
    "Difference",
    "Figure",
    "Live",
    "PlotData",
    "Series",
    "Table",
    "figures",
    "plot_data",
    "render",
    "write",
]
FEW, MOST = 20, 200  # runs: so many that were lost are shown at once; of more the table of every run tells
OVER = ("curves", "sensitivity", "schedules", "trials")
CONTENTS = {
    "gains": "Differences in full", "witnessed": "What was witnessed", "arms": "Arms",
    "decisions": "What was decided", "budgets": "Budgets", "best": "Best of k peaks", "peaks": "Every peak",
    "runs": "Runs", "made": "Made by", "sources": "To cite",
}  # fmt: skip


def render(result: StudyResult, command: str) -> str:
    """The page: question and verdicts first, then figures, tables, how to make it again, what to cite.

    The same result and command give the same bytes. It loads nothing from anywhere, and runs no script but its own.
    """
    return filled("page.html.jinja", **_said(result), command=command)


def write(result: StudyResult, path: Path, command: str) -> None:
    """Write the page to a file, whole or not at all."""
    replace(path, render(result, command).encode())


def _said(result: StudyResult) -> dict[str, Any]:
    """All that the template names."""
    study, drawn = result.asked.study, figures(plot_data(result))
    titles = {figure.name: figure.title for figure in drawn} | CONTENTS
    lacking = {*["gains"] * (not result.comparisons), *["witnessed"] * (result.script is None)}
    rules = followed(result.asked, result.arms)
    lacking |= {*["decisions"] * (not rules)}
    return {
        "result": result,
        "study": study,
        "asked": summary.asked_lines(study),
        "headline": summary.headline(result),
        "verdicts": tables.verdicts(result),
        "figures": drawn,
        "values": {figure.name: tables.values(figure) for figure in drawn if figure.name in OVER},
        "embedded": {figure.name: figure.fields for figure in drawn},
        "contents": [(name, title) for name, title in titles.items() if name not in lacking],
        "tables": tables,
        "followed": rules,
        "decisions": tables.decisions(result),
        "for_flips": seeds_that_reach(study.alpha),
        "fresh_seeds": len({run.seed for run in result.fresh}),
        "every_run": list(_every_run(result)),
        "facts": table("What every number depends on", [("field", "wrap"), ("value", "code")], [*result.facts.items()]),
        "sources": sources.used(result),
    }


def _every_run(result: StudyResult) -> Iterator[tuple[str, Sequence[Run], bool]]:
    """What the runs of a table are, the runs, whether they are shown at once."""
    lost = [run for run in (*result.runs, *result.fresh) if outcome(run) != "finished"]
    if 0 < len(lost) <= MOST:
        yield "Runs that diverged or were pruned", lost, len(lost) <= FEW
    yield "Every run", result.runs, False
    if result.fresh:
        yield "Every run with fresh seeds", result.fresh, False
