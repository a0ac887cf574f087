"""A study: arms at peaks and seeds, each run once, whatever interrupts, and what they say.

    FILE ─► file.read ─► Stated ─► plan_of ─► Planned ─► train ─► runs ─► conclude ─► StudyResult ─► summary, report
                                     ╰─► store: results, states, ledger ◄──╯

file      what a study states: arms, peaks, seeds, read and checked
plan      what is to be trained: runs, shared prefixes, forest, rounds, pruning, search
script    runs of somebody's own training script: asked, judged, shared, checked
train     bundles grown, kept as they go; verify: a sample from scratch
store     what is kept: runs as text and tensors, the folder, the ledger
result    what runs say: best peaks, differences, verdict, cost, wording
summary   the same as tables, sentences, JSON
"""

import sys

import tapered
from tapered.study.file.read import Stated, read
from tapered.study.file.study import Arm as Arm
from tapered.study.file.study import Peaks as Peaks
from tapered.study.file.study import Study as Study
from tapered.study.plan import Planned, default_folder, finished_rounds, forest_of, plan_of
from tapered.study.result import StudyResult
from tapered.study.train import open_store, train_runs, updates_made
from tapered.study.train.verify import Verified, verify
from tapered.study.verdict import conclude

__all__ = [
    "Planned",
    "Stated",
    "StudyResult",
    "Verified",
    "conclude",
    "default_folder",
    "finished_rounds",
    "forest_of",
    "open_store",
    "plan_of",
    "read",
    "train_runs",
    "updates_made",
    "verify",
]

sys.modules[__name__].__class__ = tapered.Asking  # `tapered.study("mine.toml")` asks one
