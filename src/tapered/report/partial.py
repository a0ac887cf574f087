"""The page of a study that is not finished: how far it is, and what it says so far; no difference, no verdict.

Partial ─► tables, figures ─► one page, marked so
"""

from dataclasses import replace
from datetime import UTC, datetime

from tapered.report import tables
from tapered.report.data import partial_data
from tapered.report.figures import figures
from tapered.report.table import Kind, Table, numbers, table
from tapered.report.template import filled
from tapered.study.result.asked import Asked
from tapered.study.result.partial import Partial
from tapered.study.summary import asked_lines, number
from tapered.study.summary.partial import so_far_rows, so_far_title, standing_line, standing_notes

MARK = '<html lang="en" class="partial">'  # by which it is told from that of a finished study
SEEDS = "mean over the seeds that have come there, and the range from the lowest to the highest of them"
CAPTIONS = {
    "curves": f"Each arm at its best peak so far: {SEEDS}. A cross below: a run diverged there.",
    "sensitivity": f"At the step that the table of arms names: {SEEDS}. A cross below: runs diverged at that peak.",
    "schedules": "Each arm at its best peak so far.",
}


def render_partial(
    found: Partial, asked: Asked, file: str, command: str, written: float, *, stopped: bool = False
) -> str:
    """The page of a study that is not finished.

    Args:
        found: How far it is.
        asked: The study, its grids and trials as they are by now.
        file: Its file's text, as it runs.
        command: What to type to go on with it.
        written: When, in seconds since 1970.
        stopped: Whether nobody trains it any more.
    """
    drawn = [replace(each, caption=CAPTIONS[each.name]) for each in figures(partial_data(found, asked))]
    return filled(
        "partial.html.jinja",
        study=found.study,
        asked=asked_lines(found.study),
        lines=[standing_line(found), *standing_notes(found)],
        stopped=stopped,
        written=datetime.fromtimestamp(written, UTC).isoformat(timespec="seconds"),
        stages=_stages(found),
        arms=_arms(found),
        figures=drawn,
        values={figure.name: tables.values(figure) for figure in drawn},
        peaks=_peaks(found),
        begun=_begun(found),
        finished=tables.runs("Finished runs that choose the peak", found.study.metric, found.choosing),
        embedded={figure.name: figure.fields for figure in drawn},
        command=command,
        file=file,
    )


def _stages(found: Partial) -> Table:
    now = found.stage
    rows = [
        (stage.name, f"{stage.done:,}", f"{stage.of:,}", "now" if stage is now else "")
        for stage in found.stages
    ]  # fmt: skip
    strong = [i for i, stage in enumerate(found.stages) if stage is now]
    columns: list[tuple[str, Kind]] = [("runs", "wrap"), *numbers("done", "of"), ("", "text")]
    return table("Runs that are done, as far as is known what is to come", columns, rows, strong)


def _arms(found: Partial) -> Table:
    header, *rows = so_far_rows(found)
    return table(so_far_title(found).rstrip(":"), [(header[0], "wrap"), *numbers(*header[1:])], rows)


def _peaks(found: Partial) -> Table:
    each = [(arm, peak) for arm in found.arms for peak in arm.peaks]
    rows = [
        (
            arm.name, "as written" if p.peak is None else number(p.peak), f"{arm.step:,}", str(len(p.runs)),
            str(p.diverged), number(p.mean), number(p.low), number(p.high),
        )
        for arm, p in each
    ]  # fmt: skip
    strong = [i for i, (arm, p) in enumerate(each) if p is arm.best]
    names = numbers("peak", "at step", "runs", "diverged", f"mean {found.study.metric}", "lowest", "highest")
    return table("Every peak that runs say something of", [("arm", "wrap"), *names], rows, strong)


def _begun(found: Partial) -> Table:
    rows = [
        (run.arm, "as written" if run.peak is None else number(run.peak), str(run.seed), f"{run.step:,}")
        for run in found.begun
    ]
    return table("Runs begun and not finished", [("arm", "wrap"), *numbers("peak", "seed", "updates")], rows)
