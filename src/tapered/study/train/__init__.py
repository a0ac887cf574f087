"""Bundles trained from event to event, kept as they go; a killed study goes on where it was.

Planned, Store ─► train_runs ─► rounds ─► Grower: bundle ─► evaluate, fork, save ─► finished runs
                                                            runs, Store ─► verify: a sample again from scratch
"""

from tapered.study.train.trainer import open_store, train_runs, updates_made
from tapered.study.train.verify import Verified, verify

__all__ = ["Verified", "open_store", "train_runs", "updates_made", "verify"]
