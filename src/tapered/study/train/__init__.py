"""Bundles trained from event to event, kept as they go; a killed study goes on where it was.

Planned, Store ─► train_runs ─► rounds ─► Grower: bundle ─► evaluate, fork, save ─► finished runs
                                                            runs, Store ─► verify: a sample again from scratch
"""

from tapered.study.train.trainer import open_store, train_runs, updates_made

__all__ = ["open_store", "train_runs", "updates_made"]
