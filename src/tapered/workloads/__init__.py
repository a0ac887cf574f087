"""Problems by name: the built-in ones, a file each, and those of one's own file, or of a notebook's cells.

"bmi" ─► WORKLOADS ─────────────────────────────────────────────────────────────╮
a function of cells ─► cells: its text as a file ─► "file.py:name"
"file.py:name" ─► own.find ─► Source ─► named: may it run? ─► own.make ─► Workload ─► sources: hashes of its code
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from tapered.training.workload import Workload, quadratic
from tapered.workloads.bmi import bmi
from tapered.workloads.fashion import fashion_mnist
from tapered.workloads.letters import characters
from tapered.workloads.mnist1d import mnist1d
from tapered.workloads.online import counterexample, online
from tapered.workloads.photo import photo
from tapered.workloads.quadratics import noisy_quadratic
from tapered.workloads.separable import separable
from tapered.workloads.surfaces import surface
from tapered.workloads.tables import breast_cancer, diabetes, digits, logistic

_ALL: tuple[Callable[..., Workload], ...] = (
    bmi,
    breast_cancer,
    characters,
    counterexample,
    diabetes,
    digits,
    fashion_mnist,
    logistic,
    mnist1d,
    noisy_quadratic,
    online,
    photo,
    quadratic,
    separable,
    surface,
)
WORKLOADS: Mapping[str, Callable[..., Workload]] = MappingProxyType({made.__name__: made for made in _ALL})

__all__ = [
    "WORKLOADS", "bmi", "breast_cancer", "characters", "counterexample", "diabetes", "digits", "fashion_mnist",
    "logistic", "mnist1d", "noisy_quadratic", "online", "photo", "separable", "surface",
]  # fmt: skip
