"""A block after which model, optimizer and generators are bitwise what they were, whatever happened in it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from tapered.checkpoint import generators
from tapered.optim.running import Running

Undo = Callable[[], None]
HOOKS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


@contextmanager
def unchanged(model: nn.Module, optimizer: torch.optim.Optimizer, *others: Any) -> Iterator[None]:
    """Within the block train as you like; after it everything is bitwise as before, also where it raises.

    That is: parameters, their gradients, buffers, train or eval mode of every module; the optimizer's state, groups and
    counters; the shared generators of Python, numpy and torch. Tensors stay the same objects. The optimizer's hooks
    around a step rest meanwhile, so that an attached clock neither writes nor counts. It takes as much memory again as
    model and state do.

    Not kept: how far an iterator has been read, other attributes of modules, a GradScaler, schedulers that are stepped
    in the block.

    Args:
        model: The model that is trained.
        optimizer: Its optimizer, ours or anybody's.
        others: Generators (torch's, numpy's, Python's), and data loaders, whose own generators are kept.

    Example:
        >>> model = nn.Linear(2, 1)
        >>> optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        >>> before = model.weight.detach().clone()
        >>> with unchanged(model, optimizer):
        ...     model(torch.randn(4, 2)).sum().backward()
        ...     optimizer.step()
        >>> torch.equal(model.weight, before), model.weight.grad, len(optimizer.state)
        (True, None, 0)
    """
    shared = generators.prepare_everywhere(generators.everywhere())
    undo: list[Undo] = [shared, *(_generator(own) for other in others for own in _own(other))]
    undo += [_tensor(p) for p in _parameters(model, optimizer)]
    undo += [_module(module) for module in model.modules()]
    undo += [_optimizer(optimizer)]
    try:
        for name in HOOKS:
            if name in vars(optimizer):
                vars(optimizer)[name] = type(vars(optimizer)[name])()
        yield
    finally:
        for put_back in undo:
            put_back()


def _parameters(model: nn.Module, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    held = [p for group in optimizer.param_groups for p in group["params"]]
    return list({id(p): p for p in [*model.parameters(), *held]}.values())


def _content(tensor: Tensor) -> Undo:
    """Puts a tensor's numbers back in place."""
    kept = tensor.detach().clone()

    def undo() -> None:
        tensor.data.copy_(kept)

    return undo


def _tensor(param: Tensor) -> Undo:
    content, grad, asked = _content(param), param.grad, param.requires_grad
    # a gradient that is already there may be added to in place
    gradient = None if grad is None else _content(grad)

    def undo() -> None:
        content()
        param.requires_grad_(asked)
        param.grad = grad
        if gradient is not None:
            gradient()

    return undo


def _module(module: nn.Module) -> Undo:
    training, buffers = module.training, dict(vars(module)["_buffers"])
    contents = [_content(buffer) for buffer in buffers.values() if buffer is not None]

    def undo() -> None:
        module.training = training
        _refill(vars(module)["_buffers"], buffers)  # forward may have put new tensors in their place
        for content in contents:
            content()

    return undo


def _optimizer(optimizer: torch.optim.Optimizer) -> Undo:
    attributes = dict(vars(optimizer))
    state, groups = optimizer.state, list(optimizer.param_groups)
    parts = {key: _values(part) if isinstance(part, dict) else (part, lambda: None) for key, part in state.items()}
    held = [(group, _values(group)) for group in groups]
    if isinstance(attributes.get("_running"), Running):  # it is changed in place
        attributes["_running"] = attributes["_running"].copied()

    def undo() -> None:
        _refill(vars(optimizer), attributes)
        state.clear()
        for key, (part, put_back) in parts.items():
            put_back()
            state[key] = part
        optimizer.param_groups[:] = groups
        for _, (_, put_back) in held:
            put_back()

    return undo


def _values(part: dict[Any, Any]) -> tuple[dict[Any, Any], Undo]:
    """A dict of tensors and plain values, and what puts them back."""
    kept = {key: list(value) if isinstance(value, list) else value for key, value in part.items()}
    contents = [_content(value) for key, value in part.items() if isinstance(value, Tensor) and key != "params"]

    def undo() -> None:
        _refill(part, kept)
        for content in contents:
            content()

    return part, undo


def _refill(target: dict[Any, Any], kept: dict[Any, Any]) -> None:
    target.clear()
    target.update(kept)


def _own(other: Any) -> list[Any]:
    """The generators in something: itself, or those of a data loader and its samplers."""
    if isinstance(other, generators.KINDS):
        return [other]
    batches = getattr(other, "batch_sampler", None)
    places = (other, getattr(other, "sampler", None), batches, getattr(batches, "sampler", None))
    found = [getattr(place, "generator", None) for place in places]
    return list({id(own): own for own in found if isinstance(own, generators.KINDS)}.values())


def _generator(own: generators.Own) -> Undo:
    return generators.prepare("a generator", own, generators.state_of(own))
