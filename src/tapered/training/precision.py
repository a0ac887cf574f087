"""Half precision: autocast around what a batch gives, parameters of 16 bits, and float16's scaler, a part of a row.

    forward, loss ─ autocast ─► loss ─ times the scale ─► backward ─► gradients ─ by the scale ─► finite? ─► update
                                                                                                   ╰─► skipped

A skipped step has seen its minibatch and moves nothing else: no parameter, moment or count, and the schedule neither,
whose next update is at the rate that this one would have had. So it is where a schedule is attached to torch's own
optimizer under its own scaler.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from tapered.training import trees
from tapered.training.devices import CPU
from tapered.training.recipe import Recipe

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}
AS_IT_IS: AbstractContextManager[Any] = nullcontext()
MIXED_EVERYWHERE = frozenset((functional.batch_norm, torch.batch_norm, functional.instance_norm, torch.instance_norm))
MIXED = MIXED_EVERYWHERE | {functional.layer_norm, torch.layer_norm, functional.group_norm, torch.group_norm}
ROUNDED = 4  # times the last place of 16 bits: what rows may differ by from the loop in a loss


def cast(recipe: Recipe) -> AbstractContextManager[Any]:
    """Autocast as a recipe has it, around forward and loss; nothing in single precision."""
    if recipe.precision == "float32":
        return AS_IT_IS
    return torch.autocast(recipe.place.type, DTYPES[recipe.precision])


@contextmanager
def cast_rows(recipe: Recipe) -> Iterator[None]:
    """The same under `vmap`: weights that were cast are not kept, as each row has its own, and norms are `Norms`."""
    if recipe.precision == "float32":
        yield
        return
    with torch.autocast(recipe.place.type, DTYPES[recipe.precision], cache_enabled=False), Norms():
        yield


class Norms(TorchFunctionMode):
    """Norms of half inputs and single weights, in single precision and rounded once, as torch's mixed kernels do it.

    Under `vmap` torch has none: it fails, or GroupNorm goes on in single precision. What autocast itself computes in
    single precision, on an accelerator, is left to it.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call a function of torch's; a norm of an input in half precision as above."""
        kwargs = kwargs or {}
        if func in MIXED and args and args[0].dtype in DTYPES.values():
            given = args[0]
            others = [each for each in (*args[1:], *kwargs.values()) if isinstance(each, Tensor)]
            mixed = any(each.dtype == torch.float32 for each in others)
            if mixed and (given.device == CPU or func in MIXED_EVERYWHERE):
                return func(given.float(), *args[1:], **kwargs).to(given.dtype)
        return func(*args, **kwargs)


def under_cast(recipe: Recipe, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that is called under autocast; itself in single precision."""
    if recipe.precision == "float32":
        return function

    def call(*arguments: Any) -> Any:
        with cast(recipe):
            return function(*arguments)

    return call


def built(recipe: Recipe, model: nn.Module) -> nn.Module:
    """A model with parameters and buffers where and as a recipe has them; those of whole numbers keep their dtype."""
    if recipe.params is not None:
        model = model.to(DTYPES[recipe.params])
    return model if recipe.place == CPU else model.to(recipe.place)


def given(recipe: Recipe, inputs: Any) -> Any:
    """Inputs of a batch, their floats as the parameters are, which the model's first layer multiplies them by."""
    if recipe.params is None:
        return inputs
    dtype = DTYPES[recipe.params]
    return trees.each(inputs, lambda tensor: tensor.to(dtype) if tensor.is_floating_point() else tensor)


def tolerance(recipe: Recipe, single: float) -> float:
    """How far rows may be from the loop: so far in single precision, and a few last places in half.

    >>> tolerance(Recipe(), 1e-3), tolerance(Recipe(precision="bfloat16"), 1e-3)
    (0.001, 0.03125)
    """
    halves = [DTYPES[name] for name in (recipe.precision, recipe.params) if name in DTYPES]
    return max([single, *(ROUNDED * torch.finfo(dtype).eps for dtype in halves)])


def fresh(recipe: Recipe) -> dict[str, Tensor]:
    """What float16's scaler of one row begins with, each of shape (1,); nothing in another precision."""
    if recipe.precision != "float16":
        return {}
    return _kept(torch.amp.GradScaler(recipe.place.type).state_dict(), 0, recipe.place)


def _kept(state: Mapping[str, Any], skipped: int, place: torch.device) -> dict[str, Tensor]:
    return {
        "scale": torch.tensor([state["scale"]], dtype=torch.float32, device=place),
        "growth": torch.tensor([state["_growth_tracker"]], dtype=torch.int64, device=place),
        "skipped": torch.tensor([skipped], dtype=torch.int64, device=place),
    }


class Scaling:
    """Torch's scaler around the updates of one row.

    Args:
        recipe: Whose device.
        params: What is trained.
        state: As `fresh` or `state` gave it.
    """

    def __init__(self, recipe: Recipe, params: Iterable[nn.Parameter], state: Mapping[str, Tensor]) -> None:
        self.place = recipe.place
        self.scaler = torch.amp.GradScaler(self.place.type)
        begun = {"scale": state["scale"].item(), "_growth_tracker": int(state["growth"])}
        self.scaler.load_state_dict(self.scaler.state_dict() | begun)
        self.optimizer = _Updating(params)
        self.skipped = int(state["skipped"])

    def scaled(self, loss: Tensor) -> Tensor:
        """The loss that backward begins from."""
        return self.scaler.scale(loss)

    def unscale(self) -> None:
        """Divide the gradients by the scale, and see whether they are finite."""
        self.scaler.unscale_(self.optimizer)

    def made(self, update: Callable[[], None]) -> bool:
        """Make an update where the gradients are finite, else drop them; and move the scale on."""
        self.optimizer.update, self.optimizer.made = update, False
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if not self.optimizer.made:
            self.skipped += 1
            self.optimizer.zero_grad()
        return self.optimizer.made

    def state(self) -> dict[str, Tensor]:
        """What the next step goes on from."""
        return _kept(self.scaler.state_dict(), self.skipped, self.place)


class _Updating(torch.optim.Optimizer):
    """What torch's scaler takes for an optimizer: its step is the update at hand."""

    update: Callable[[], None]

    def __init__(self, params: Iterable[nn.Parameter]) -> None:
        super().__init__(params, {})
        self.made = False

    def step(self, closure: Any = None) -> None:  # type: ignore[override]  # noqa: ARG002 - torch's signature
        """Make the update."""
        self.update()
        self.made = True
