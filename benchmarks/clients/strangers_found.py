"""The optimizers that are installed here, each with what it needs to be made."""

import importlib
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from strangers_ways import Drive, plain, ways, with_closure
from torch import distributed

LR = 0.01
Params = list[torch.nn.Parameter]
Make = Callable[[Params], Any]
BOTH, MATRIX = ((64, 64), (64,)), ((64, 64),)
NOISE = {"kron": 1e-7}  # resumed by hand, without tapered, it differs from itself in some runs by a last bit
SECOND = {"adahessian", "sophiah"}  # they differentiate gradients
DISTRIBUTED = {"demo", "distributedmuon"}  # they want a process group
MOMENTUM = ("SGD", "SGD8bit", "SGD32bit", "LARS", "LARS8bit", "LARS32bit", "PytorchLARS")  # bitsandbytes' need one
SPECIAL = {  # what one cannot guess
    "ranger21": {"num_iterations": 100},
    "bsam": {"num_data": 64},
    **{name: {"momentum": 0.9} for name in MOMENTUM},
}
WRAPPERS = ("Lookahead", "OrthoGrad", "TRAC", "PCGrad", "ScheduleFreeWrapper")
SHARP = ("SAM", "WSAM", "LookSAM", "FriendlySAM", "GSAM")


@dataclass(frozen=True)
class Maker:
    """One optimizer, driven in one way, and the problem that it is given."""

    package: str
    name: str
    make: Make
    drive: Drive = plain
    shapes: tuple[tuple[int, ...], ...] = BOTH
    dtype: torch.dtype = torch.float32
    second: bool = False
    noise: float = 0.0  # by which its weights differ from one run of it to the next
    attached: str = ""  # the attribute that attach is given, as its refusal says; the optimizer itself


def found() -> Iterator[Maker]:
    yield from of_torch()
    for package, of in PACKAGES.items():
        if module := installed(package):
            yield from of(package.split(".", maxsplit=1)[0], module)


def installed(package: str) -> Any:
    try:
        return importlib.import_module(package)
    except ImportError:
        return None


def missing() -> list[str]:
    """The optimizers of these packages that are not driven here."""
    driven = {type_of(maker.name) for maker in found()}
    modules = {package.split(".", maxsplit=1)[0]: installed(package) for package in PACKAGES}
    return [
        f"{package}.{name}"
        for package, module in modules.items()
        for name, kind in (vars(module) if module else {}).items()
        if is_optimizer(kind) and type_of(name) not in driven
    ]


def type_of(name: str) -> str:
    return name.split(maxsplit=1)[0].lower().replace("_", "")


def is_optimizer(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer


def driven(package: str, name: str, make: Make, **options: Any) -> Iterator[Maker]:
    """In every way that there is."""
    found = ways(name.split(maxsplit=1)[0])
    for way, drive in found.items():
        yield Maker(package, f"{name} {way}" if len(found) > 1 else name, make, drive, **options)


def of_torch() -> Iterator[Maker]:
    kinds = {"": {}, " foreach": {"foreach": True}, " fused": {"fused": True}, " tensor lr": {"lr": torch.tensor(LR)}}
    for name in torch.optim.__all__:
        kind = getattr(torch.optim, name, None)
        if not inspect.isclass(kind) or name in ("Optimizer", "SparseAdam"):
            continue
        known = inspect.signature(kind.__init__).parameters
        for more, options in kinds.items():
            if options.keys() <= known.keys():
                yield from driven("torch", name + more, maker(kind, options))
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
        make = in_a_group_of_one(make) if name in DISTRIBUTED else make
        yield from driven(package, name, make, second=name in SECOND, noise=NOISE.get(name, 0.0))
        if distributed.is_initialized():
            distributed.destroy_process_group()
    for name in WRAPPERS:
        yield from driven(package, name, around(getattr(module, name)))
    for name in SHARP:
        kind = getattr(module, name)
        yield from driven(package, name, sharp(module, kind))
        yield from driven(package, f"{name} foreach", sharp(module, kind, foreach=True))
    half = {"dtype": torch.float16, "attached": "optimizer"}
    yield from driven(package, "SafeFP16Optimizer", around(module.SafeFP16Optimizer), **half)


def of_classes(package: str, module: Any) -> Iterator[Maker]:
    for name, kind in vars(module).items():
        if is_optimizer(kind):
            make = around(kind) if "Wrapper" in name else maker(kind, SPECIAL.get(name, {}))
            yield Maker(package, name, make, with_closure if name.endswith("Closure") else plain)


PACKAGES = {
    "pytorch_optimizer": of_pytorch_optimizer,
    "bitsandbytes.optim": of_classes,
    "torchao.optim": of_classes,
    "schedulefree": of_classes,
}


def maker(kind: Callable[..., torch.optim.Optimizer], options: dict[str, Any]) -> Make:
    """A rate of the optimizer's own for each run, where it is a tensor."""

    def make(params: Params) -> torch.optim.Optimizer:
        given = {"lr": LR, **options}
        return kind(params, **{k: v.clone() if isinstance(v, torch.Tensor) else v for k, v in given.items()})

    return make


def around(kind: Callable[..., torch.optim.Optimizer]) -> Make:
    """A wrapper of another optimizer."""
    return lambda params: kind(torch.optim.SGD(params, lr=LR, momentum=0.9))


def in_a_group_of_one(make: Make) -> Make:
    def made(params: Params) -> torch.optim.Optimizer:
        if not distributed.is_initialized():
            distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
        return make(params)

    return made


def sharp(module: Any, kind: Callable[..., torch.optim.Optimizer], **options: Any) -> Make:
    """SAM and its relatives, around SGD; GSAM's radius follows the rate."""

    def make(params: Params) -> torch.optim.Optimizer:
        if kind is module.GSAM:
            base = torch.optim.SGD(params, lr=LR, momentum=0.9)
            rates = module.ProportionScheduler(SimpleNamespace(optimizer=base), LR, max_value=0.1, min_value=0.01)
            return kind(params, base, torch.nn.Identity(), rates, **options)
        given = (torch.nn.Identity(), params) if kind is module.WSAM else (params,)
        return kind(*given, torch.optim.SGD, lr=LR, momentum=0.9, **options)

    return make


def with_model(kind: Callable[..., torch.optim.Optimizer]) -> Make:
    """Some take the model itself."""

    def make(params: Params) -> torch.optim.Optimizer:
        model = torch.nn.Module()
        for i, param in enumerate(params):
            model.register_parameter(f"weight{i}", param)
        return kind(model, lr=LR)

    return make


def with_flags(kind: Callable[..., torch.optim.Optimizer]) -> Make:
    """Muon's cousins want to be told which parameters are matrices."""

    def make(params: Params) -> torch.optim.Optimizer:
        groups = [{"params": [p], "use_muon": p.dim() == 2, "lr": LR} for p in params]
        return kind(groups, lr=LR)

    return make
