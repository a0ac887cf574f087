"""An average of the weights beside any optimizer: `average = tapered.average(optimizer, "ema", decay=0.999)`.

optimizer.step() ─► was it an update? ─► the average moves towards the weights        with average.readout(): evaluate
state_dict ─► what is averaged, updates, tensors by name ─► load_state_dict ─► compared with the optimizer's count
"""

from tapered.averages.live import LiveAverage as LiveAverage
from tapered.averages.make import average as average
