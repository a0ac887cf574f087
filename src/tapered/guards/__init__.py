"""One bad gradient does not destroy a run: `guard(optimizer, "skip")`, `"raise"`, `"rewind"`.

gradients ─► sums ─► a fault? ─► skip the update, raise, or rewind to the last sound checkpoint
"""

from tapered.guards.errors import GradientError as GradientError
from tapered.guards.errors import Rewound as Rewound
from tapered.guards.faults import Fault as Fault
from tapered.guards.make import guard as guard
from tapered.guards.make import guard_of as guard_of
from tapered.guards.watch import Guard as Guard
