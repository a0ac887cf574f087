"""Runs of a script that are begun and not kept yet, as they stand: asked in a folder each, told of while they train.

runs/KEY/run.json ─► begun ─► Run       with a judge, who reads what the script has said: its curve so far, too
"""

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from tapered.files.whole import plain
from tapered.scripts.asked import FACTS, TABLE, Asked
from tapered.scripts.errors import ScriptError
from tapered.study.script.judge import Judge
from tapered.study.script.outcome import branch_of
from tapered.study.store.reading import KEY
from tapered.study.store.runs import Run


def begun(runs: Path, kept: Collection[str], metric: str, judge: Judge | None = None) -> Iterator[Run]:
    """Runs that were asked of a script; what cannot be read is left out.

    Args:
        runs: The folder of all of them.
        kept: The keys of those that are known already.
        metric: The study's.
        judge: Reads what the script has said; None where that is not to be read, as of somebody else's folder.
    """
    for folder in sorted(runs.iterdir()):
        if not KEY.fullmatch(folder.name) or folder.name in kept or folder.is_symlink():
            continue
        if not (plain(folder / FACTS) and plain(folder / TABLE)):
            continue
        try:
            asked, _ = Asked.read_light(folder)
        except (ScriptError, OSError):
            continue
        run = Run(folder.name, asked.arm, asked.peak, asked.seed, asked.steps, asked.start)
        yield run if judge is None else _told(run, folder, metric, judge)


def _told(run: Run, folder: Path, metric: str, judge: Judge) -> Run:
    """A run with what its script has said so far; without it where that cannot be read."""
    try:
        last = min(judge.told(folder).last or run.step, run.steps)
        branch = branch_of(run, judge, folder, last, None, (), ())
        return replace(branch.results(metric)[0], value=float("nan"))
    except Exception:  # noqa: BLE001 - what stands there is somebody's, and being written
        return run
