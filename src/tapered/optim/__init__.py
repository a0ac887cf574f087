"""torch optimizers over tapered's rules; any hyper is a number or a schedule."""

from tapered.optim.adam import Adam as Adam
from tapered.optim.adam import Adamax as Adamax
from tapered.optim.adam import AdamW as AdamW
from tapered.optim.adam import NAdam as NAdam
from tapered.optim.adam import RAdam as RAdam
from tapered.optim.base import Optimizer as Optimizer
from tapered.optim.others import SGD as SGD
from tapered.optim.others import Adadelta as Adadelta
from tapered.optim.others import Adagrad as Adagrad
from tapered.optim.others import Lion as Lion
from tapered.optim.others import RMSprop as RMSprop
from tapered.optim.others import ScheduleFreeAdamW as ScheduleFreeAdamW
