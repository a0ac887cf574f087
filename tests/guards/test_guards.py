"""Bad gradients: left out bit for bit, or refused, before they have changed anything."""

import copy
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import tapered
from tapered.attach import attach, clock_of
from tapered.guards import GradientError, guard, guard_of

RATE = tapered.exponential_decay(0.05, decay_steps=3, decay_rate=0.5)
NAN, INF = float("nan"), float("inf")
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
SHAPES = {"first": (3, 2), "second": (5,), "third": ()}


class Counting(torch.optim.SGD):
    """A stranger's: counts in its group and makes an entry of state, whether there is a gradient or not."""

    def step(self, closure=None):
        loss = super().step(closure)
        for group in self.param_groups:
            group["seen"] = group.get("seen", 0) + 1
            for param in group["params"]:
                self.state[param]["visits"] = self.state[param].get("visits", 0) + 1
                if param.grad is not None:
                    param.data.sub_(param.grad, alpha=0.01)
        return loss


def attached(kind, **options):
    def make(params):
        optimizer = kind(params, lr=0.1, **options)
        attach(optimizer, lr=RATE)
        return optimizer

    return make


MAKERS = {
    "tapered Adam": lambda params: tapered.Adam(params, lr=RATE),
    "tapered Adam by its rule": lambda params: tapered.Adam(params, lr=RATE, fused=False),
    "tapered SGD": lambda params: tapered.SGD(params, lr=RATE, momentum=0.9),
    "tapered Lion": lambda params: tapered.Lion(params, lr=RATE),
    "fused AdamW, attached": attached(torch.optim.AdamW, fused=True),
    "foreach AdamW, attached": attached(torch.optim.AdamW, foreach=True),
    "NAdam, attached": attached(torch.optim.NAdam),
    "torch SGD": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9),
    "torch Adagrad": lambda params: torch.optim.Adagrad(params, lr=0.05),
    "torch RMSprop": lambda params: torch.optim.RMSprop(params, lr=0.05),
    "a stranger's": lambda params: Counting(params, lr=0.05, momentum=0.9),
}


def made(maker):
    generator = torch.Generator().manual_seed(0)
    params = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES.values()]
    return MAKERS[maker]([*zip(SHAPES, params, strict=True)]), params


def good(number: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(number)
    return [torch.randn(shape, generator=generator) for shape in SHAPES.values()]


def bad(value: float, place: int = 1) -> list[torch.Tensor]:
    grads = good(99)
    grads[place].view(-1)[-1] = value
    return grads


def step(optimizer, params, grads, *, closure: bool = False):
    def fill() -> float:
        for param, grad in zip(params, grads, strict=True):
            param.grad = None if grad is None else grad.clone()
        return 1.5

    if closure:
        assert optimizer.step(fill) == 1.5
    else:
        fill()
        optimizer.step()


def bits(optimizer, params) -> dict:
    """Every number of a run by its path, tensors as bytes."""
    found = {f"param {i}": p.detach().numpy().tobytes() for i, p in enumerate(params)}
    state = optimizer.state_dict()
    for number, entry in state["state"].items():
        for key, value in entry.items():
            found[f"state {number} {key}"] = value.numpy().tobytes() if isinstance(value, torch.Tensor) else value
    for index, group in enumerate(state["param_groups"]):
        found |= {f"group {index} {key}": repr(value) for key, value in group.items()}
    return found


@pytest.mark.parametrize("closure", [False, True], ids=["", "closure"])
@pytest.mark.parametrize("value", [NAN, INF, -INF], ids=str)
@pytest.mark.parametrize("maker", MAKERS)
def test_a_step_left_out_was_never_seen(maker, value, closure) -> None:
    """The oracle is a run without those batches and without a guard; first, in the middle, twice, and last."""
    watched, params = made(maker)
    watching = guard(watched, "skip")
    plain, others = made(maker)
    for number, grads in enumerate([bad(value), good(0), good(1), bad(value, 0), bad(value, 2), good(2), good(3)]):
        step(watched, params, grads, closure=closure)
        if number in (1, 2, 5, 6):
            step(plain, others, grads, closure=closure)
            assert bits(watched, params) == bits(plain, others)
        assert all(p.grad.equal(g) or g.isnan().any() for p, g in zip(params, grads, strict=True))
    before = bits(watched, params)
    step(watched, params, bad(value))
    assert bits(watched, params) == before
    assert (watching.skipped, watching.in_a_row, watching.step) == (4, 1, 4)
    clock = clock_of(watched)
    assert clock is None or clock.step == 4


FROZEN = {
    "Adam": torch.optim.Adam,
    "fused Adam": lambda p: torch.optim.Adam(p, fused=True),
    "AMSGrad": lambda p: torch.optim.Adam(p, amsgrad=True),
    "NAdam": torch.optim.NAdam,
    "RAdam": torch.optim.RAdam,
    "RMSprop": torch.optim.RMSprop,
    "Adadelta": torch.optim.Adadelta,
    "Adagrad": torch.optim.Adagrad,
    "SGD": lambda p: torch.optim.SGD(p, momentum=0.9),
    "Lion": tapered.Lion,
    "Adamax": tapered.Adamax,
    **{
        f"tapered {kind.__name__}": lambda p, kind=kind: kind(p)
        for kind in (
            tapered.Adam, tapered.NAdam, tapered.RMSprop, tapered.Adagrad, tapered.Adadelta, tapered.ScheduleFreeAdamW,
        )
    },
}  # fmt: skip
SQUARES = ("exp_avg_sq", "square_avg", "sum")


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("maker", FROZEN)
def test_a_square_that_the_moment_cannot_hold(maker, dtype) -> None:
    """Row 17. The oracle is the optimizer itself, unguarded: is its moment infinite after the update?"""
    root = torch.finfo(dtype).max ** 0.5
    seen = set()
    for before in (0, 3):
        for factor in (1e-4, 0.02, 0.5, 0.9, 1.1, 2.0, 2.5, 12.0, 30.0, 36.0, 1e3, 1e9):
            param = nn.Parameter(torch.ones(4, dtype=dtype))
            optimizer = FROZEN[maker]([param])
            other = copy.deepcopy(optimizer)
            watching = guard(optimizer, "skip")
            for number in range(before + 1):
                size = 1.0 if number < before else factor * root
                for one in (optimizer, other):
                    (target,) = one.param_groups[0]["params"]
                    target.grad = torch.tensor([1.0, -size, 0.0, 1.0], dtype=dtype)
                    one.step()
            state = other.state[other.param_groups[0]["params"][0]]
            frozen = any(bool(state[name].isinf().any()) for name in SQUARES if name in state)
            assert watching.skipped == frozen, (before, factor)
            if frozen:
                assert (watching.fault.moment in state, watching.fault.entries) == (True, 1)
                assert watching.fault.value == float(torch.tensor(-factor * root, dtype=dtype))
            seen.add(frozen)
    assert seen == ({False} if maker in ("SGD", "Lion", "Adamax") else {False, True})


def test_adagrads_sum_in_half_precision() -> None:
    """It only grows, and float16 ends at 65,504: ten steps of 100 are one too many by then."""
    param = nn.Parameter(torch.ones(2, dtype=torch.float16))
    optimizer = torch.optim.Adagrad([param], lr=0.1)
    watching = guard(optimizer, "skip")
    for number in range(10):
        param.grad = torch.tensor([100.0, 1.0], dtype=torch.float16)
        optimizer.step()
        assert watching.skipped == max(0, number + 1 - 65504 // 100**2)
    assert optimizer.state[param]["sum"].isfinite().all()


@pytest.mark.parametrize("maker", MAKERS)
def test_raised_before_anything_has_changed(maker) -> None:
    optimizer, params = made(maker)
    watching = guard(optimizer, "raise")
    step(optimizer, params, good(0))
    before = bits(optimizer, params)
    said = (
        "got nan in the gradient of `second` in group 0 (shape (5,), torch.float32; 1 of 5 entries) at step 1; "
        "nothing has changed; look at this batch and the rate, or leave such steps out: "
        "guard(optimizer, 'skip', most=10)"
    )
    for closure in (False, True):
        with pytest.raises(GradientError) as caught:
            step(optimizer, params, bad(NAN), closure=closure)
        assert str(caught.value) == said
        after = bits(optimizer, params)
        assert {key for key in after if after[key] != before[key]} <= ({"group 0 lr"} if closure else set())
    fault = caught.value.fault
    assert (fault.step, fault.group, fault.name, fault.entries, fault.moment) == (1, 0, "second", 1, "")
    step(optimizer, params, good(1))
    assert watching.step == 2


def test_one_gradient_of_1e30_in_words() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = tapered.Adam([{"params": [nn.Parameter(torch.ones(1))]}, {"params": [weight]}])
    guard(optimizer, "raise")
    weight.grad = torch.tensor([1.0, -1e30])
    said = (
        "got -1.0000000150474662e+30 in the gradient of `params[0]` in group 1 (shape (2,), torch.float32; 1 of 2 "
        "entries) at step 0, whose square `exp_avg_sq` cannot hold; nothing has changed"
    )
    with pytest.raises(GradientError, match=re.escape(said)):
        optimizer.step()
    assert not optimizer.state


def test_so_many_in_a_row() -> None:
    """Row 18: most=3 leaves out three in a row, and the fourth raises; an update in between starts the count anew."""
    optimizer, params = made("tapered Adam")
    watching = guard(optimizer, "skip", most=3)
    for count in (3, 2, 3):
        for number in range(count):
            step(optimizer, params, bad(NAN))
            assert watching.in_a_row == number + 1
        step(optimizer, params, good(count))
        assert watching.in_a_row == 0
    assert (watching.skipped, watching.step) == (8, 3)
    for _ in range(3):
        step(optimizer, params, bad(INF))
    before = bits(optimizer, params)
    for _ in range(2):
        with pytest.raises(GradientError, match=r"`second` in group 0 .* at step 3; 3 in a row were skipped before it"):
            step(optimizer, params, bad(INF))
    assert bits(optimizer, params) == before
    assert repr(watching) == "Guard('skip', most=3, skipped=11, rewinds=0)"
    watching.detach()
    assert guard_of(optimizer) is None
    step(optimizer, params, bad(NAN))
    assert params[1].isnan().any()


@pytest.mark.parametrize("first", ["guard", "attach"])
def test_before_or_after_attach(first) -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.ones(2))], lr=0.1, fused=True)
    calls = [lambda: guard(optimizer, "skip"), lambda: attach(optimizer, lr=RATE)]
    for call in calls if first == "guard" else reversed(calls):
        call()
    (param,) = optimizer.param_groups[0]["params"]
    for value in (1.0, NAN, 1.0):
        step(optimizer, [param], [torch.full((2,), value)])
    assert (clock_of(optimizer).step, guard_of(optimizer).step, guard_of(optimizer).skipped) == (2, 2, 1)
    assert (clock_of(optimizer).last_lr, optimizer.param_groups[0]["lr"]) == ((RATE(1),), RATE(2))


def test_steps_without_gradients_count_for_nothing() -> None:
    optimizer, params = made("torch SGD")
    watching = guard(optimizer, "skip", most=2)
    for grads in ([None] * 3, bad(NAN), [None] * 3, [None, bad(NAN)[1], None], [None] * 3):
        step(optimizer, params, grads)
    assert (watching.skipped, watching.in_a_row, watching.step) == (2, 2, 0)
    step(optimizer, params, [good(0)[0], None, None])
    assert (watching.in_a_row, watching.step) == (0, 1)


def test_accumulated_gradients_are_looked_at_once() -> None:
    optimizer, params = made("tapered Adam")
    watching = guard(optimizer, "skip")
    for factors in ((1.0, 1.0), (1.0, NAN), (1.0, 1.0)):
        optimizer.zero_grad()
        for factor in factors:
            (factor * (params[0] ** 2).sum()).backward()
        optimizer.step()
    assert (watching.skipped, optimizer.steps) == (1, 2)


@pytest.mark.filterwarnings("ignore:Sparse invariant checks:UserWarning")  # Adagrad's own
@pytest.mark.parametrize("kind", [torch.optim.SparseAdam, torch.optim.SGD, torch.optim.Adagrad])
def test_sparse_gradients(kind) -> None:
    torch.manual_seed(0)
    layer = nn.Embedding(6, 2, sparse=True)
    optimizer = kind(layer.parameters(), lr=0.1)
    watching = guard(optimizer, "skip")
    for factor in (1.0, NAN, 1.0, 1e30):
        before = layer.weight.detach().clone()
        optimizer.zero_grad()
        (factor * layer(torch.tensor([1, 1, 4])).sum()).backward()
        assert layer.weight.grad.is_sparse
        optimizer.step()
        moved = factor == 1.0 or (factor == 1e30 and kind is torch.optim.SGD)
        assert torch.equal(layer.weight, before) == (not moved)
    assert watching.skipped == 1 + (kind is not torch.optim.SGD)


def test_complex_parameters() -> None:
    param = nn.Parameter(torch.ones(3, dtype=torch.complex64))
    optimizer = torch.optim.Adam([param], lr=0.1)
    watching = guard(optimizer, "skip")
    for value in (complex(1, -1), complex(0, NAN), complex(1, 1e30), complex(1, 2)):
        param.grad = torch.full_like(param, value)
        optimizer.step()
    assert (watching.skipped, watching.fault.moment, watching.fault.entries) == (2, "exp_avg_sq", 3)
    assert param.isfinite().all()


@pytest.mark.parametrize("scale", [2.0**50, 2.0**-40])
@pytest.mark.parametrize("maker", ["tapered Adam", "fused AdamW, attached", "foreach AdamW, attached"])
def test_beside_a_grad_scaler(maker, scale) -> None:
    """The scaler's own skips are its own; what is still scaled is judged by its true size."""
    watched, params = made(maker)
    watching = guard(watched, "skip")
    plain, others = made(maker)
    scaler = torch.amp.GradScaler("cpu", init_scale=scale, growth_interval=1000)
    scaler.scale(torch.ones(()))
    for factor in (1.0, 1e7, INF, 1e22, 1.0):  # scaled by 1e15, the square of 1e7 would be too large
        scale = scaler.get_scale()
        grads = [factor * grad for grad in good(0)]
        for param, grad in zip(params, grads, strict=True):
            param.grad = scale * grad
        if factor == 1e22 and scale > 1:
            scaler.unscale_(watched)
        scaler.step(watched)
        scaler.update()
        if factor in (1.0, 1e7):
            step(plain, others, grads)
        assert bits(watched, params) == bits(plain, others)
    assert (watching.skipped, watching.fault.moment, watching.step) == (1, "exp_avg_sq", 3)


def test_an_exception_leaves_no_scale_behind() -> None:
    """torch would multiply the next step's scale with the one that stayed on the optimizer."""
    optimizer, params = made("fused AdamW, attached")
    guard(optimizer, "raise")
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    scaler.scale(torch.ones(()))
    for param, grad in zip(params, bad(1e30), strict=True):
        param.grad = 4 * grad
    with pytest.raises(GradientError, match=r"got 1.0000000150474662e"):
        scaler.step(optimizer)
    assert not hasattr(optimizer, "grad_scale")
    assert not hasattr(optimizer, "found_inf")


def test_a_closure_that_is_evaluated_again_and_again() -> None:
    """LBFGS moves the parameters before its second evaluation, which no skip can undo; the first one it can."""
    param = nn.Parameter(torch.tensor([2.0]))
    optimizer = torch.optim.LBFGS([param], lr=0.1)
    watching = guard(optimizer, "skip")
    calls = 0

    def closure(bad_from: int) -> torch.Tensor:
        nonlocal calls
        calls += 1
        optimizer.zero_grad()
        loss = (param**4).sum() * (NAN if calls >= bad_from else 1.0)
        loss.backward()
        return loss

    optimizer.step(lambda: closure(99))
    state = copy.deepcopy(optimizer.state_dict())
    before, calls = param.detach().clone(), 0
    optimizer.step(lambda: closure(1))
    after = optimizer.state_dict()
    assert torch.equal(param, before)
    assert (watching.skipped, calls) == (1, 1)
    assert after["state"][0].keys() == state["state"][0].keys()
    assert all(after["state"][0][key] == state["state"][0][key] for key in ("func_evals", "n_iter"))
    calls = 0
    with pytest.raises(GradientError, match=r"evaluation 2 of the closure in one step, so the parameters have moved"):
        optimizer.step(lambda: closure(2))


def test_a_compiled_step() -> None:
    """One graph for all steps, those that are left out too."""
    weight, graphs = nn.Parameter(torch.ones(3)), []

    def backend(graph, _):
        graphs.append(graph)
        return graph.forward

    optimizer = torch.optim.Adam([weight], lr=torch.tensor(0.1))
    attach(optimizer, lr=RATE)
    watching = guard(optimizer, "skip")
    compiled = torch.compile(optimizer.step, backend=backend)
    for value in (1.0, 1.0, NAN, 1.0, 1e30, 1.0):
        before, weight.grad = weight.detach().clone(), torch.full((3,), value)
        compiled()
        assert torch.equal(weight, before) == (value != 1.0)
        assert weight.grad is not None
    assert (watching.skipped, watching.step, len(graphs)) == (2, 4, 1)


def test_processes_that_share_gradients_decide_alike(tmp_path) -> None:
    script = Path(__file__).parents[1] / "helpers" / "shared_gradients.py"
    subprocess.run([sys.executable, script, tmp_path / "meeting"], check=True, timeout=300, env=os.environ | ONE_THREAD)


def test_copies_and_pickles_have_no_guard() -> None:
    for maker in ("tapered Adam", "fused AdamW, attached", "torch SGD"):
        optimizer, params = made(maker)
        guard(optimizer, "skip")
        step(optimizer, params, bad(NAN))
        step(optimizer, params, good(0))
        for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
            assert guard_of(other) is None
            assert (clock_of(other) is None) == (clock_of(optimizer) is None)
            copies = other.param_groups[0]["params"]
            step(other, copies, good(1))
            assert guard(other, "raise") is guard_of(other)
        step(optimizer, params, bad(NAN))
        assert guard_of(optimizer).skipped == 2


def test_twice() -> None:
    optimizer, _ = made("torch SGD")
    first = guard(optimizer, "raise")
    with pytest.raises(ValueError, match=re.escape("this SGD has a guard already; try guard_of(optimizer).detach()")):
        guard(optimizer, "skip")
    first.detach()
    assert guard(optimizer, "skip").policy == "skip"


WEIGHT = nn.Parameter(torch.ones(2))
SGD = torch.optim.SGD([WEIGHT])


@pytest.mark.parametrize(
    ("args", "options", "error", "said"),
    [
        ((WEIGHT, "skip"), {}, TypeError, "got Parameter; expected a torch.optim.Optimizer"),
        ((SGD, "ignore"), {}, ValueError, "got 'ignore' for `policy`; expected 'raise', 'skip' or 'rewind'"),
        ((SGD, "skip"), {"most": 0}, ValueError, "got 0 for `most`; expected at least 1"),
        ((SGD, "skip"), {"most": 2.0}, TypeError, "got 2.0 for `most`; expected a whole number; try most=10"),
        ((SGD, "rewind"), {"most": True}, TypeError, "got True for `most`; expected a whole number; try most=3"),
        ((SGD, "raise"), {"most": 3}, ValueError, "got most=3 for the policy 'raise', which takes none"),
        ((SGD, "skip"), {"folder": "x", "model": 1}, TypeError, "got folder, model for the policy 'skip'"),
        ((SGD, "rewind"), {"optimizer": SGD}, TypeError, "needs the folder of the checkpoints; try guard("),
        ((SGD, "rewind"), {"folder": "x", "weight": WEIGHT}, TypeError, "got the parts ['weight'] without this opt"),
        ((SGD, "rewind"), {"folder": "x", "o": SGD, "epoch": 3}, TypeError, "got plain values for ['epoch']"),
    ],
)
def test_arguments_that_cannot_be(args, options, error, said) -> None:
    with pytest.raises(error, match=re.escape(said)):
        guard(*args, **options)
    assert guard_of(SGD) is None
