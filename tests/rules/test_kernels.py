"""Kernels on every layout: torch's own numbers, nobody else's memory, and only where a kernel is right."""

import pytest
import torch
from torch import nn

import tapered
from tapered import rules
from tapered.rules import fused

KINDS = {
    "SGD": {"momentum": 0.9},
    "Adam": {"amsgrad": True},
    "AdamW": {},
    "Adagrad": {},
    "RMSprop": {"centered": True},
    "NAdam": {},
}
MEMORY = {
    "contiguous": lambda: torch.zeros(4, 3, 5, 2),
    "channels last": lambda: torch.zeros(4, 3, 5, 2).to(memory_format=torch.channels_last),
    "transposed": lambda: torch.zeros(2, 5, 3, 4).permute(3, 2, 1, 0),
    "a slice": lambda: torch.zeros(4, 3, 5, 6)[..., 1:3],
    "every other": lambda: torch.zeros(8, 3, 5, 2)[::2],
}
GRADIENTS = {
    "as the parameter": lambda grad, like: torch.empty_like(like).copy_(grad),
    "contiguous": lambda grad, _: grad.contiguous(),
    "transposed": lambda grad, _: grad.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0),
    "expanded": lambda grad, _: grad.mean().expand(grad.shape),
    "a slice": lambda grad, _: torch.cat([grad, grad], 3)[..., :2],
}


def trained(lib, name: str, memory: str, gradient: str, dtype: torch.dtype, steps: int = 4):
    """The parameter after a few updates, and the storage that it lies in."""
    generator = torch.Generator().manual_seed(0)
    whole = MEMORY[memory]().to(dtype)
    param = nn.Parameter(whole)
    with torch.no_grad():
        param.copy_(torch.randn(param.shape, generator=generator))
    optimizer = getattr(lib, name)([param], lr=0.1, weight_decay=0.1, **KINDS[name])
    for _ in range(steps):
        grad = torch.randn(param.shape, generator=generator).to(dtype)
        param.grad = GRADIENTS[gradient](grad, param)
        optimizer.step()
    return param.detach(), optimizer.state[param]


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("gradient", GRADIENTS)
def test_every_layout_gives_torchs_numbers(name, memory, gradient) -> None:
    ours, state = trained(tapered, name, memory, gradient, torch.float64)
    theirs, _ = trained(torch.optim, name, memory, gradient, torch.float64)
    rounded = 1e-6 if name == "NAdam" else 1e-12  # torch rounds its product of momenta to float32
    torch.testing.assert_close(ours, theirs, rtol=rounded, atol=rounded)
    assert ours.stride() == theirs.stride()
    assert int(state["step"]) == 4


@pytest.mark.parametrize("kind", [tapered.Adam, tapered.SGD])
def test_the_memory_beside_a_slice_is_nobodys(kind) -> None:
    old = torch.randn(3, 8)
    kept = old.clone()
    weight = nn.Parameter(old[:, 2:5])
    optimizer = kind([weight], lr=0.1)
    for _ in range(3):
        weight.grad = torch.ones(3, 3)
        optimizer.step()
    kept[:, 2:5] = weight.detach()
    assert torch.equal(old, kept)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("size", [1, 15, 16, 17, 33, 1024, 4097])
def test_16_bits_against_float64(name, dtype, size) -> None:
    """torch 2.13's fused SGD moves 16-bit weights of 16 elements and more by nothing."""
    start = torch.linspace(-1, 1, size).to(dtype)
    grad = (torch.linspace(1, 2, size) * (1 - 2 * (torch.arange(size) % 2))).to(dtype)
    found = {}
    for kind in (dtype, torch.float64):
        weight = nn.Parameter(start.to(kind, copy=True))
        optimizer = getattr(tapered, name)([weight], lr=0.5)
        for _ in range(3):
            weight.grad = grad.to(kind)
            optimizer.step()
        found[kind] = weight.detach().double()
    assert (found[dtype] - found[torch.float64]).abs().max() < 8 * torch.finfo(dtype).eps
    assert (found[dtype] - start.double()).abs().min() > 0.1


@pytest.mark.parametrize("name", ["RMSprop", "NAdam", "Adamax", "Adadelta"])
def test_16_bits_are_rounded_when_they_are_stored(name) -> None:
    """In float16 an eps of 1e-8 is 0, and the square of 300 is infinite."""
    weight, exact = nn.Parameter(torch.zeros(2, dtype=torch.float16)), nn.Parameter(torch.zeros(2, dtype=torch.float64))
    for param in (weight, exact):
        optimizer = getattr(tapered, name)([param], lr=0.5, eps=1e-8)
        param.grad = torch.tensor([0.0, 240.0], dtype=param.dtype)
        optimizer.step()
    assert weight.isfinite().all()
    torch.testing.assert_close(weight.double(), exact.detach(), rtol=2e-3, atol=1e-6)


def test_a_kernel_that_is_wrong_is_not_used(monkeypatch) -> None:
    def swapped(params, grads, *_, lr, **__) -> None:
        for param, grad in zip(params, grads, strict=True):
            param.sub_(grad.flip(0), alpha=lr)

    monkeypatch.setattr(torch, "_fused_sgd_", swapped)
    fused.right.cache_clear()
    weight = nn.Parameter(torch.zeros(3))
    optimizer = tapered.SGD([weight], lr=1.0)
    weight.grad = torch.tensor([1.0, 2.0, 3.0])
    optimizer.step()
    assert weight.tolist() == [-1.0, -2.0, -3.0]
    with pytest.raises(ValueError, match="fused=True: torch has no fused kernel for SGD"):
        tapered.SGD([weight], lr=1.0, fused=True).step()
    fused.right.cache_clear()


def test_autograd_sees_every_update() -> None:
    """A backward through weights that have moved is refused, as under torch's."""
    for options in ({}, {"fused": False}, {"fused": True}):
        weight = nn.Parameter(torch.ones(3))
        optimizer = tapered.Adam([weight], **options)
        loss = (weight**2).sum()
        weight.grad = torch.ones(3)
        before = weight._version
        optimizer.step()
        assert weight._version > before
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            loss.backward()


def test_memory_that_is_laid_out_anew_under_way() -> None:
    found = []
    for lib in (tapered, torch.optim):
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3)
        optimizer = lib.Adam(model.parameters(), lr=0.1)
        for step in range(6):
            if step == 2:
                model.to(memory_format=torch.channels_last)
            optimizer.zero_grad()
            model(torch.randn(2, 3, 5, 5)).square().mean().backward()
            optimizer.step()
        found.append(model.weight.detach())
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)


def test_a_state_saved_contiguous_is_laid_out_as_its_parameter() -> None:
    def made(fmt: torch.memory_format):
        torch.manual_seed(0)
        model = nn.Conv2d(3, 4, 3).to(memory_format=fmt)
        return model, tapered.Adam(model.parameters(), lr=0.1)

    def train(model, optimizer, steps: int) -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            model(torch.ones(2, 3, 5, 5)).square().mean().backward()
            optimizer.step()

    one, optimizer = made(torch.contiguous_format)
    train(one, optimizer, 3)
    other, again = made(torch.channels_last)
    other.load_state_dict(one.state_dict())
    again.load_state_dict(optimizer.state_dict())
    assert again.state[other.weight]["exp_avg"].stride() == other.weight.stride()
    train(one, optimizer, 3)
    train(other, again, 3)
    torch.testing.assert_close(one.weight, other.weight, rtol=1e-5, atol=1e-6)


def test_an_update_that_fails_is_not_counted(monkeypatch) -> None:
    weights = [nn.Parameter(torch.ones(3)) for _ in range(2)]
    optimizer = tapered.NAdam([{"params": [w]} for w in weights], lr=0.1)
    for weight in weights:
        weight.grad = torch.ones(3)
    optimizer.step()
    real, calls = rules.update, []

    def update(*args):
        calls.append(args)
        if len(calls) == 2:
            raise MemoryError
        return real(*args)

    monkeypatch.setattr(rules, "update", update)
    with pytest.raises(MemoryError):
        optimizer.step()
    assert optimizer.steps == 1
    assert [int(optimizer.state[w]["step"]) for w in weights] == [1, 1]
    assert optimizer.param_groups[0]["step"] == 1


def test_what_nobody_can_write_to_is_refused() -> None:
    weight = nn.Parameter(torch.ones(1).expand(3))
    other = nn.Parameter(torch.ones(3))
    optimizer = tapered.SGD([other, weight], lr=0.1)
    for param in (other, weight):
        param.grad = torch.ones(3)
    with pytest.raises(ValueError, match=r"parameter 1 \(shape \(3,\), strides \(0,\)\) is expanded: several"):
        optimizer.step()
    assert (optimizer.steps, other.tolist()) == (0, [1.0, 1.0, 1.0])


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("SGD", {}),
        ("SGD", {"momentum": 0.9}),
        ("SGD", {"maximize": True}),
        ("Adagrad", {}),
        ("Adagrad", {"lr_decay": 0.1}),
    ],
)
@pytest.mark.filterwarnings("ignore:Sparse invariant checks")  # torch's own Adagrad asks for them
def test_sparse_gradients_as_torch(name, options) -> None:
    found = []
    for lib in (tapered, torch.optim):
        torch.manual_seed(0)
        table = nn.Embedding(20, 3, sparse=True, dtype=torch.float64)
        dense = nn.Linear(3, 1, dtype=torch.float64)
        params = [*table.parameters(), *dense.parameters()]
        optimizer = getattr(lib, name)(params, lr=0.1, **options)
        for step in range(6):
            optimizer.zero_grad()
            words = torch.tensor([step, step + 1, step, 7])  # one twice: its gradient comes in two parts
            dense(table(words)).square().sum().backward()
            optimizer.step()
        found.append(torch.cat([p.detach().flatten() for p in params]))
    torch.testing.assert_close(*found, rtol=1e-12, atol=1e-14)


def test_rows_that_a_sparse_gradient_does_not_name_are_not_read() -> None:
    table = nn.Embedding(5, 2, sparse=True)
    with torch.no_grad():
        table.weight[4] = float("nan")
    optimizer = tapered.Adagrad(table.parameters(), lr=0.1)
    table(torch.tensor([1, 2])).sum().backward()
    optimizer.step()
    assert table.weight[:4].isfinite().all()
