"""torch optimizers over tapered's rules; any hyper is a number or a schedule.

step():  group ─► schedule(step) * lr_scale ─► kernel or rule ─► weights, state ─► the count of applied updates

base.py has the step, groups.py what joins, resumable.py and loading.py what is saved and loaded, changes.py `replace`.
"""

from tapered.optim.accumulators import Adadelta as Adadelta
from tapered.optim.accumulators import Adagrad as Adagrad
from tapered.optim.accumulators import RMSprop as RMSprop
from tapered.optim.adam import Adam as Adam
from tapered.optim.adam import Adamax as Adamax
from tapered.optim.adam import AdamW as AdamW
from tapered.optim.adam import NAdam as NAdam
from tapered.optim.adam import RAdam as RAdam
from tapered.optim.base import Optimizer as Optimizer
from tapered.optim.momentum import SGD as SGD
from tapered.optim.momentum import Lion as Lion
from tapered.optim.momentum import ScheduleFreeAdamW as ScheduleFreeAdamW
