"""TensorFlow 1's own numbers for Adam, beside this file: 10 steps of 12 weights under given gradients, in float64.

They are a part of the tests' golden values, which `tf.compat.v1.train.AdamOptimizer` printed.
"""

import json
from dataclasses import dataclass
from importlib import resources

import torch
from torch import Tensor


@dataclass(frozen=True)
class Golden:
    """What TensorFlow made of given gradients.

    Args:
        version: TensorFlow's.
        start: The weights at first, shape (12,).
        gradients: One a step, shape (10, 12), entries of 1e-3 to 1e3.
        constant: The weights after the steps at the rate 0.05.
        decaying: The same at `exponential_decay(0.15, step, 1, 0.9999)`.
    """

    version: str
    start: Tensor
    gradients: Tensor
    constant: Tensor
    decaying: Tensor


def golden() -> Golden:
    """Read them."""
    found = json.loads((resources.files("tapered.claims") / "golden.json").read_text())
    tensors = {name: torch.tensor(values, dtype=torch.float64) for name, values in found.items() if name != "version"}
    return Golden(version=found["version"], **tensors)
