"""State dicts: repeatable, older, named, of other dtypes, through files and to and from torch; copies and pickles."""

import copy
import io
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch_templates.judge import Side
from torch_templates.problems import Affine, convolution, shown, slopes, weight
from torch_templates.template import template

NAMED = {
    f"{'named' if a else 'plain'} to {'named' if b else 'plain'}": {"names": (a, b)}
    for a in (True, False)
    for b in (True, False)
}


def given(params: Sequence[Tensor], *, named: bool) -> list[Any]:
    return [(f"name{i}", param) for i, param in enumerate(params)] if named else list(params)


def twin(problem: Affine) -> Affine:
    """The same weights in tensors of their own."""
    other = copy.copy(problem)
    other.matrix, other.bias = (nn.Parameter(param.detach().clone()) for param in problem.params)
    return other


@template(variants=NAMED, times=20)
def repeatable(side: Side, *, names: tuple[bool, bool]) -> None:
    """A state loaded into a new optimizer: both go on alike, the dict given stays as it was, and both save the same."""
    problem = Affine(side)
    optimizer = side.make(given(problem.params, named=names[0]))
    problem.train(side, optimizer, 4)
    again = twin(problem)
    other = side.make(given(again.params, named=names[1]))
    saved, before = (copy.deepcopy(optimizer.state_dict()) for _ in range(2))
    other.load_state_dict(saved)
    side.see("the dict given stays", alike(saved, before))
    problem.train(side, optimizer, 3)
    again.train(side, other, 3)
    one, two = (without_names(o.state_dict()) for o in (optimizer, other))
    side.see("saved alike", alike(one, two))
    side.see("saved", one["state"])
    side.see("its groups", one["param_groups"])
    other.param_groups.extend(other.param_groups)
    side.see("a group twice", alike(one["param_groups"][-1], without_names(other.state_dict())["param_groups"][-1]))


def alike(a: Any, b: Any) -> bool:
    """Bit for bit, and with the same keys."""
    if isinstance(a, Tensor):
        # torch's NAdam loads its product of momenta to the parameter's device, and makes it on the CPU
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a.cpu(), b.cpu())
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(value, b[key]) for key, value in a.items())
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(alike, a, b))
    return bool(a == b)


def without_names(state: dict[str, Any]) -> dict[str, Any]:
    groups = [{k: v for k, v in group.items() if k != "param_names"} for group in state["param_groups"]]
    return {**state, "param_groups": groups}


@template(times=20)
def older(side: Side) -> None:
    """A state from before its flags existed."""
    made, x = convolution(side)
    optimizer = side.make(made.parameters())
    for k in range(5):
        optimizer.zero_grad()
        made(x).pow(3).sum().backward()
        optimizer.step()
        shown(side, optimizer, list(made.parameters()), f"update {k}")
        if k == 2:
            state = copy.deepcopy(optimizer.state_dict())
            for group in state["param_groups"]:
                for flag in side.info.not_og_supported_flags:
                    group.pop(flag, None)
            optimizer.load_state_dict(state)


@template(variants=NAMED, times=20)
def names_in_and_out(side: Side, *, names: tuple[bool, bool]) -> None:
    """Names of parameters are kept where either optimizer has them."""
    made, x = convolution(side)
    optimizers = [side.make(made.named_parameters() if named else made.parameters()) for named in names]
    for k, optimizer in enumerate([*optimizers[:1] * 3, *optimizers[1:] * 2]):
        if k == 3:
            optimizer.load_state_dict(copy.deepcopy(optimizers[0].state_dict()))
        optimizer.zero_grad()
        made(x).pow(3).sum().backward()
        optimizer.step()
        shown(side, optimizer, list(made.parameters()), f"update {k}")
    side.see("names", optimizers[1].state_dict()["param_groups"][0].get("param_names"))


@template(variants={"named": {"named": True}, "plain": {"named": False}}, times=20)
def through_a_file(side: Side, *, named: bool) -> None:
    """A saved state is the same when it is loaded, also where only weights are taken."""
    problem = Affine(side)
    optimizer = side.make(given(problem.params, named=named))
    problem.train(side, optimizer, 3)
    state, file = optimizer.state_dict(), io.BytesIO()
    torch.save(state, file)
    for only in (True, False):
        file.seek(0)
        side.see("the same", alike(state, torch.load(file, weights_only=only)))
    file.seek(0)
    optimizer.load_state_dict(torch.load(file))
    problem.train(side, optimizer, 2)


@template(times=5)
def counts_as_numbers(side: Side) -> None:
    """A state whose counts are plain numbers, as torch once kept them."""
    params = [weight(side, 2, 3, seed=i) for i in range(2)]
    optimizer = side.make(params)
    for k in range(5):
        if k == 3:
            state = copy.deepcopy(optimizer.state_dict())
            for entry in state["state"].values():
                if "step" in entry:
                    entry["step"] = float(entry["step"])
            optimizer.load_state_dict(state)
        slopes(params, k)
        optimizer.step()
        shown(side, optimizer, params, f"update {k}")


HALVES = {str(dtype): {"to": dtype} for dtype in (torch.float64, torch.bfloat16, torch.float16)}


@template(ways=("default", "flags False"), variants=HALVES, times=5)
def other_dtype(side: Side, *, to: torch.dtype) -> None:
    """A state for weights of another dtype is cast to theirs; counts keep theirs."""
    params = [weight(side, 10, 5), weight(side, 3)]
    optimizer = side.make(params)
    for k in range(3):
        slopes(params, k)
        optimizer.step()
    to = torch.float64 if side.dtype == torch.float64 else to  # the exact side
    cast = [nn.Parameter(param.detach().to(to)) for param in params]
    other = side.make(cast)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    shown(side, other, cast, "loading")
    for k in range(3, 6):
        slopes(cast, k)
        other.step()
        shown(side, other, cast, f"update {k}")


@template(device="cuda", ways=("fused=True", "capturable=True", "default"), times=5)
def states_from_the_cpu(side: Side) -> None:
    """A state made or kept on the CPU goes on on the GPU; where the counts are is torch's choice."""
    param = weight(Side(**{**vars(side), "device": "cpu"}), 10, 5)
    first = side.kind([param], **{k: v for k, v in side.options.items() if k not in ("fused", "capturable")})
    slopes([param], 0)
    first.step()
    moved = [nn.Parameter(param.detach().to(side.device))]
    state = copy.deepcopy(first.state_dict())
    for key in ("fused", "capturable"):
        if key in side.options:
            state["param_groups"][0][key] = True
    second = side.make(moved)
    second.load_state_dict(state)
    shown(side, second, moved, "loading")
    for k in range(1, 4):
        slopes(moved, k)
        second.step()
        shown(side, second, moved, f"update {k}")
