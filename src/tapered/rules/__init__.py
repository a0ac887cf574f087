"""The update rules: each one optimizer's arithmetic on one tensor, pure, with every moving number a 0-d tensor.

param, grad, state, hypers, t ─► rule.scalars, rule.terms ─► named parts of the update ─► param, state

averaged  a rule beside which an average of the weights is kept; following moves it on in place
kernels   the same by torch's fused kernels, where `fused` has tried them and found them right
shards    the tensors of one process where a parameter is spread over several
"""

from tapered.rules.accumulators import Adadelta as Adadelta
from tapered.rules.accumulators import Adagrad as Adagrad
from tapered.rules.accumulators import RMSprop as RMSprop
from tapered.rules.adam import Adam as Adam
from tapered.rules.adam import Adamax as Adamax
from tapered.rules.adam import NAdam as NAdam
from tapered.rules.adam import RAdam as RAdam
from tapered.rules.averaged import Averaged as Averaged
from tapered.rules.averaged import Latest as Latest
from tapered.rules.averaged import bare as bare
from tapered.rules.averaged import decouples as decouples
from tapered.rules.averaged import recomputed as recomputed
from tapered.rules.base import Decay as Decay
from tapered.rules.base import Hyper as Hyper
from tapered.rules.base import Rule as Rule
from tapered.rules.base import State as State
from tapered.rules.base import Term as Term
from tapered.rules.base import Terms as Terms
from tapered.rules.base import added as added
from tapered.rules.base import scalar_dtype as scalar_dtype
from tapered.rules.base import update as update
from tapered.rules.momentum import SGD as SGD
from tapered.rules.momentum import Lion as Lion
from tapered.rules.restarted import Restarted as Restarted
from tapered.rules.schedule_free import ScheduleFreeAdamW as ScheduleFreeAdamW
