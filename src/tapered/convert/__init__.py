"""Schedules from other frameworks, and back, each with notes on what the other's curve does and what was kept.

from_torch(scheduler), from_transformers("cosine", ...), from_keras(config), from_optax("..."), from_timm("cosine", ...)
another's schedule ─► Converted: Schedule, notes        Schedule ─► to_lambda, to_keras, to_optax ─► another's
"""

from tapered.convert.back import to_lambda as to_lambda
from tapered.convert.back import to_optax as to_optax
from tapered.convert.keras import from_keras as from_keras
from tapered.convert.keras import to_keras as to_keras
from tapered.convert.optax import from_optax as from_optax
from tapered.convert.result import Conversion as Conversion
from tapered.convert.timm import from_timm as from_timm
from tapered.convert.torch import from_torch as from_torch
from tapered.convert.transformers import from_transformers as from_transformers

# said, since `import *` would otherwise bring modules by the names of torch, keras, optax, timm and transformers
__all__ = [
    "Conversion",
    "from_keras",
    "from_optax",
    "from_timm",
    "from_torch",
    "from_transformers",
    "to_keras",
    "to_lambda",
    "to_optax",
]
