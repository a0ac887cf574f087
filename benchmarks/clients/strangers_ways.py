"""How an update is made by each optimizer that has more than `step()`, as its readme has it.

A way takes the optimizer, a closure that clears the gradients and makes them anew, and the loss alone.
"""

from collections.abc import Callable
from typing import Any

import torch

Closure = Callable[[], torch.Tensor]
Drive = Callable[[Any, Closure, Closure], object]


def plain(optimizer: Any, closure: Closure, _: Closure) -> None:
    closure()
    optimizer.step()


def with_closure(optimizer: Any, closure: Closure, _: Closure) -> None:
    optimizer.step(closure)


def before_and_with_closure(optimizer: Any, closure: Closure, _: Closure) -> None:
    closure()
    optimizer.step(closure)


def in_two_steps(optimizer: Any, closure: Closure, _: Closure) -> None:
    closure()
    optimizer.first_step(zero_grad=True)
    closure()
    optimizer.second_step(zero_grad=True)


def in_three_steps(optimizer: Any, closure: Closure, _: Closure) -> None:
    closure()
    optimizer.first_step()
    closure()
    optimizer.second_step()
    closure()
    optimizer.third_step()


def with_outputs(optimizer: Any, closure: Closure, _: Closure) -> None:
    optimizer.update_rho_t()
    optimizer.step(lambda: (None, closure()))


def with_a_batch(optimizer: Any, _: Closure, loss: Closure) -> None:
    optimizer.update_rho_t()
    optimizer.set_closure(lambda *_: loss(), torch.ones(1), torch.ones(1))
    optimizer.step()


def of_two_tasks(optimizer: Any, _: Closure, loss: Closure) -> None:
    optimizer.zero_grad()
    optimizer.pc_backward([loss(), -0.5 * loss() ** 2])
    optimizer.step()


def scaled(optimizer: Any, _: Closure, loss: Closure) -> None:
    optimizer.zero_grad()
    optimizer.backward(loss())
    optimizer.clip_main_grads(1e6)
    optimizer.step()


def in_backward(optimizer: Any, _: Closure, loss: Closure) -> None:
    optimizer.fused_backward(loss(), lr=optimizer.param_groups[0]["lr"])


def clipping_logits(optimizer: Any, closure: Closure, _: Closure) -> None:
    closure()
    optimizer.step(attention_max_logits={})


SAM = {"step(closure)": before_and_with_closure, "first_step, second_step": in_two_steps}
WAYS: dict[str, dict[str, Drive]] = {
    "sam": SAM,
    "looksam": SAM,
    "friendlysam": SAM,
    "wsam": SAM | {"step(closure)": with_closure},
    "gsam": {"set_closure, step()": with_a_batch, "step(closure)": with_outputs},
    "bsam": {"step(closure)": before_and_with_closure, "first_step, second_step, third_step": in_three_steps},
    "pcgrad": {"pc_backward, step()": of_two_tasks},
    "safefp16optimizer": {"backward, clip_main_grads, step()": scaled},
    "lomo": {"fused_backward": in_backward},
    "adalomo": {"fused_backward": in_backward},
    "muonclip": {"step()": plain, "step(attention_max_logits)": clipping_logits},
    **{name: {"step(closure)": with_closure} for name in ("alig", "lbfgs")},  # they evaluate the loss themselves
}


def ways(name: str) -> dict[str, Drive]:
    """By what is called, "" where it is `step()` alone."""
    return WAYS.get(name.lower(), {"": plain})
