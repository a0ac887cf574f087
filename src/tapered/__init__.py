"""tapered: learning rates that decay dependably in PyTorch, and evidence on whether they should.

    tapered.cosine_decay(...) ─► Schedule ─► tapered.Adam(params, lr=schedule)

What is named here is imported when it is asked for, so that `tapered --help` does not wait for torch.
"""

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tapered import attach as attach
    from tapered import averages as averages
    from tapered import checkpoint as checkpoint
    from tapered import convert as convert
    from tapered import explain as explain
    from tapered import guards as guards
    from tapered import loggers as loggers
    from tapered import range_test as range_test
    from tapered import schedules as schedules
    from tapered import tensorflow1 as tensorflow1
    from tapered import theory as theory
    from tapered.averages import average as average
    from tapered.optim import SGD as SGD
    from tapered.optim import Adadelta as Adadelta
    from tapered.optim import Adagrad as Adagrad
    from tapered.optim import Adam as Adam
    from tapered.optim import Adamax as Adamax
    from tapered.optim import AdamW as AdamW
    from tapered.optim import Lion as Lion
    from tapered.optim import NAdam as NAdam
    from tapered.optim import RAdam as RAdam
    from tapered.optim import RMSprop as RMSprop
    from tapered.optim import ScheduleFreeAdamW as ScheduleFreeAdamW
    from tapered.results import Result as Result
    from tapered.results import study as study
    from tapered.schedules import Schedule as Schedule
    from tapered.schedules import constant as constant
    from tapered.schedules import cooldown as cooldown
    from tapered.schedules import cosine_decay as cosine_decay
    from tapered.schedules import exponential_decay as exponential_decay
    from tapered.schedules import from_function as from_function
    from tapered.schedules import greedy as greedy
    from tapered.schedules import hold as hold
    from tapered.schedules import inverse_sqrt as inverse_sqrt
    from tapered.schedules import linear as linear
    from tapered.schedules import parse as parse
    from tapered.schedules import plateau as plateau
    from tapered.schedules import warmup as warmup
    from tapered.scripts.current import current_run as current_run
    from tapered.training.recipe import Group as Group
    from tapered.training.recipe import Recipe as Recipe
    from tapered.training.workload import Workload as Workload

    __version__: str

ROOMS = (
    "attach",
    "averages",
    "checkpoint",
    "convert",
    "explain",
    "guards",
    "loggers",
    "range_test",
    "schedules",
    "study",
    "tensorflow1",
    "theory",
)
HOLDERS = (
    "scripts.current",
    "schedules",
    "optim",
    "training.recipe",
    "training.workload",
    "averages",
    "results",
)  # of the others; light first

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Group",
    "Lion",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Recipe",
    "Result",
    "Schedule",
    "ScheduleFreeAdamW",
    "Workload",
    "average",
    "constant",
    "cooldown",
    "cosine_decay",
    "current_run",
    "exponential_decay",
    "from_function",
    "greedy",
    "hold",
    "inverse_sqrt",
    "linear",
    "parse",
    "plateau",
    "schedules",
    "tensorflow1",
    "warmup",
]


class Asking(ModuleType):
    """The room `tapered.study`, which is also the function `tapered.results.study`."""

    def __call__(self, *given: Any, **options: Any) -> Any:
        return _study()(*given, **options)

    @property
    def __signature__(self) -> Any:  # which `help` and notebooks show
        return importlib.import_module("inspect").signature(_study())


def _study() -> Any:
    return importlib.import_module("tapered.results").study


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("importlib.metadata").version("tapered")
    if name in ROOMS:
        return importlib.import_module(f"tapered.{name}")
    for holder in HOLDERS if name in __all__ else ():
        module = importlib.import_module(f"tapered.{holder}")
        if hasattr(module, name):
            globals()[name] = getattr(module, name)
            return globals()[name]
    raise AttributeError(f"module 'tapered' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__, *ROOMS})
