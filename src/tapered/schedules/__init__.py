"""Schedules: values that are pure functions of the step.

    lr = 3e-4 * warmup(200) * cosine_decay(decay_steps=2000)
    lr(0), lr.table(2000), lr.horizon, str(lr), parse(str(lr)) == lr

words, numbers, text ─► Schedule ─► schedule(step): a float        Schedule ─► table(stop): the same in float64
plateau, greedy ─► Controller ─► path(group) ─► observed(paths, loss, step): what a group follows by its loss
                           ╰─► str, to_dict ─► parse, from_dict ─► an equal one; picture: it drawn

Kinds of schedules bear lower-case names, TensorFlow's where it has one, and print as they are called.
"""

from tapered.schedules.base import CooldownShape as CooldownShape
from tapered.schedules.base import Schedule as Schedule
from tapered.schedules.base import as_schedule as as_schedule
from tapered.schedules.basic import cooldown as cooldown
from tapered.schedules.basic import exponential_warmup as exponential_warmup
from tapered.schedules.basic import hold as hold
from tapered.schedules.basic import linear as linear
from tapered.schedules.basic import warmup as warmup
from tapered.schedules.controllers import Controller as Controller
from tapered.schedules.cosines import cosine_decay as cosine_decay
from tapered.schedules.cosines import cosine_decay_restarts as cosine_decay_restarts
from tapered.schedules.decays import inverse_sqrt as inverse_sqrt
from tapered.schedules.decays import polynomial_decay as polynomial_decay
from tapered.schedules.decays import power_decay as power_decay
from tapered.schedules.decays import tanh_decay as tanh_decay
from tapered.schedules.exponentials import exponential_decay as exponential_decay
from tapered.schedules.exponentials import inverse_time_decay as inverse_time_decay
from tapered.schedules.exponentials import natural_exp_decay as natural_exp_decay
from tapered.schedules.functions import cumulative_product as cumulative_product
from tapered.schedules.functions import from_function as from_function
from tapered.schedules.linear_cosines import linear_cosine_decay as linear_cosine_decay
from tapered.schedules.linear_cosines import noisy_linear_cosine_decay as noisy_linear_cosine_decay
from tapered.schedules.operators import constant as constant
from tapered.schedules.pieces import cyclic as cyclic
from tapered.schedules.pieces import piecewise_constant as piecewise_constant
from tapered.schedules.pieces import piecewise_interpolate as piecewise_interpolate
from tapered.schedules.plateaus import greedy as greedy
from tapered.schedules.plateaus import plateau as plateau
from tapered.schedules.recipes import multistep_decay as multistep_decay
from tapered.schedules.recipes import one_cycle as one_cycle
from tapered.schedules.recipes import power as power
from tapered.schedules.recipes import rex_decay as rex_decay
from tapered.schedules.recipes import step_decay as step_decay
from tapered.schedules.recipes import untuned_exponential_warmup as untuned_exponential_warmup
from tapered.schedules.recipes import untuned_linear_warmup as untuned_linear_warmup
from tapered.schedules.recipes import warmup_stable_decay as warmup_stable_decay
from tapered.schedules.tables import tabulate as tabulate
from tapered.schedules.text import followed as followed
from tapered.schedules.text import from_dict as from_dict
from tapered.schedules.text import parse as parse
from tapered.schedules.text import parse_rate as parse_rate
