"""The optimizers that are installed here, each with what it needs to be made."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

LR = 0.01
Params = list[torch.nn.Parameter]
BOTH, MATRIX = ((64, 64), (64,)), ((64, 64),)
NOISE = {"kron": 1e-7}  # resumed by hand, without tapered, it differs from itself in some runs by a last bit
SECOND = {"adahessian", "sophiah"}  # they differentiate gradients
CLOSURE = {"alig", "bsam", "LBFGS", "lbfgs"}  # they evaluate the loss themselves
MOMENTUM = ("SGD", "SGD8bit", "SGD32bit", "LARS", "LARS8bit", "LARS32bit", "PytorchLARS")  # bitsandbytes' need one
SPECIAL = {  # what one cannot guess
    "ranger21": {"num_iterations": 100},
    "bsam": {"num_data": 64},
    **{name: {"momentum": 0.9} for name in MOMENTUM},
}


@dataclass(frozen=True)
class Maker:
    """One optimizer, and the problem that it is given."""

    package: str
    name: str
    make: Callable[[Params], torch.optim.Optimizer]
    shapes: tuple[tuple[int, ...], ...] = BOTH
    second: bool = False
    closure: bool = False
    noise: float = 0.0  # by which its weights differ from one run of it to the next


def found() -> Iterator[Maker]:
    yield from of_torch()
    for package, of in PACKAGES.items():
        try:
            module = importlib.import_module(package)
        except ImportError:
            continue
        yield from of(package.split(".", maxsplit=1)[0], module)


def of_torch() -> Iterator[Maker]:
    ways = {"": {}, " foreach": {"foreach": True}, " fused": {"fused": True}, " tensor lr": {"lr": torch.tensor(LR)}}
    for name in torch.optim.__all__:
        kind = getattr(torch.optim, name, None)
        if not inspect.isclass(kind) or name in ("Optimizer", "SparseAdam"):
            continue
        known = inspect.signature(kind.__init__).parameters
        for way, options in ways.items():
            if options.keys() <= known.keys():
                yield Maker("torch", name + way, maker(kind, options), closure=name in CLOSURE)
    yield Maker("torch", "SGD momentum", maker(torch.optim.SGD, {"momentum": 0.9, "nesterov": True}))


def of_pytorch_optimizer(package: str, module: Any) -> Iterator[Maker]:
    for name in module.get_supported_optimizers():
        kind, options = module.load_optimizer(name), SPECIAL.get(name, {})
        if next(iter(inspect.signature(kind).parameters)) == "model":
            make = with_model(kind)
        elif name == "magma":
            make = around(kind)
        else:
            make = with_flags(kind) if "use_muon" in inspect.getsource(kind) else maker(kind, options)
        yield Maker(package, name, make, second=name in SECOND, closure=name in CLOSURE, noise=NOISE.get(name, 0.0))
    for name in ("Lookahead", "OrthoGrad", "TRAC", "GradientCentralization"):
        if hasattr(module, name):
            yield Maker(package, name, around(getattr(module, name)))


def of_classes(package: str, module: Any) -> Iterator[Maker]:
    for name, kind in vars(module).items():
        if inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer:
            make = around(kind) if "Wrapper" in name else maker(kind, SPECIAL.get(name, {}))
            yield Maker(package, name, make, closure=name.endswith("Closure"))


PACKAGES = {
    "pytorch_optimizer": of_pytorch_optimizer,
    "bitsandbytes.optim": of_classes,
    "torchao.optim": of_classes,
    "schedulefree": of_classes,
}


def maker(kind: Callable[..., torch.optim.Optimizer], options: dict[str, Any]) -> Callable[[Params], Any]:
    """A rate of the optimizer's own for each run, where it is a tensor."""

    def make(params: Params) -> torch.optim.Optimizer:
        given = {"lr": LR, **options}
        return kind(params, **{k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in given.items()})

    return make


def around(kind: Callable[..., torch.optim.Optimizer]) -> Callable[[Params], Any]:
    """A wrapper of another optimizer."""
    return lambda params: kind(torch.optim.SGD(params, lr=LR, momentum=0.9))


def with_model(kind: Callable[..., torch.optim.Optimizer]) -> Callable[[Params], Any]:
    """Some take the model itself."""

    def make(params: Params) -> torch.optim.Optimizer:
        model = torch.nn.Module()
        for i, param in enumerate(params):
            model.register_parameter(f"weight{i}", param)
        return kind(model, lr=LR)

    return make


def with_flags(kind: Callable[..., torch.optim.Optimizer]) -> Callable[[Params], Any]:
    """Muon's cousins want to be told which parameters are matrices."""

    def make(params: Params) -> torch.optim.Optimizer:
        groups = [{"params": [p], "use_muon": p.dim() == 2, "lr": LR} for p in params]
        return kind(groups, lr=LR)

    return make
