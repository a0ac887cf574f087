"""TensorFlow 1's optimizers and decays under their own names, with their arguments, defaults and numbers.

    rate = exponential_decay(0.15, 1, 0.9999)
    optimizer = AdamOptimizer(model.parameters(), rate)
    optimizer.minimize(loss)

name, arguments ─► decays.py: a Schedule ─► optimizers.py: a torch optimizer over tapered's rules

There is no `global_step`: the optimizer's counter is it, and `minimize` moves it. Schedules are evaluated in float64,
where TensorFlow computes in the learning rate's float32: 0.15 * 0.9999^k is 0.03% lower there at step 20,000.
Sources: tensorflow/python/training/*.py, python/keras/optimizer_v2/legacy_learning_rate_decay.py,
core/kernels/training_ops.cc; checked against `tf.compat.v1.train` of TensorFlow 2.21.
"""

from tapered.tensorflow1.decays import cosine_decay as cosine_decay
from tapered.tensorflow1.decays import cosine_decay_restarts as cosine_decay_restarts
from tapered.tensorflow1.decays import exponential_decay as exponential_decay
from tapered.tensorflow1.decays import inverse_time_decay as inverse_time_decay
from tapered.tensorflow1.decays import linear_cosine_decay as linear_cosine_decay
from tapered.tensorflow1.decays import natural_exp_decay as natural_exp_decay
from tapered.tensorflow1.decays import noisy_linear_cosine_decay as noisy_linear_cosine_decay
from tapered.tensorflow1.decays import piecewise_constant as piecewise_constant
from tapered.tensorflow1.decays import polynomial_decay as polynomial_decay
from tapered.tensorflow1.optimizers import AdadeltaOptimizer as AdadeltaOptimizer
from tapered.tensorflow1.optimizers import AdagradOptimizer as AdagradOptimizer
from tapered.tensorflow1.optimizers import AdamOptimizer as AdamOptimizer
from tapered.tensorflow1.optimizers import GradientDescentOptimizer as GradientDescentOptimizer
from tapered.tensorflow1.optimizers import MomentumOptimizer as MomentumOptimizer
from tapered.tensorflow1.optimizers import RMSPropOptimizer as RMSPropOptimizer
