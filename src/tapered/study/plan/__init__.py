"""What is to be trained.

Stated ─► plan ─► Planned ─► rounds ─► cells (arm, peak) at seeds ─► Forest: shared prefixes, forks ─► bundles
                                ▲                                       ╰─► mode, cost, forecast
             finished runs ─────┴─ trials (sampler), peaks beyond the edges, pruning
"""

from tapered.study.plan.cells import forest_of
from tapered.study.plan.planned import Planned, default_folder, plan_of
from tapered.study.plan.rounds import finished_rounds

__all__ = ["Planned", "default_folder", "finished_rounds", "forest_of", "plan_of"]
