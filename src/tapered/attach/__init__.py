"""A schedule for any torch optimizer: `clock = attach(optimizer, lr=schedule)`.

optimizer.step() ─► hook before: is what stands there ours? ─► the update ─► hook after: count, write the next values
state_dict ─► the clock's step and schedules as text in each group ─► load_state_dict ─► compared, before the next step
"""

from tapered.attach.clock import Clock as Clock
from tapered.attach.following import of_base as of_base
from tapered.attach.make import attach as attach
from tapered.attach.make import clock_of as clock_of
from tapered.attach.scheduler import as_lr_scheduler as as_lr_scheduler
