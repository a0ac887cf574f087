"""`compile = true`: the loop's model as torch compiles it, beside a plain loop that compiles it, too."""

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from tapered import Workload, rules
from tapered.draws import generator_seed
from tapered.study.store.text import rows_to_tensors
from tapered.training import compiled, modes
from tapered.training.advance import Mode, advance, evaluate
from tapered.training.recipe import Recipe
from tapered.training.rows import start, tabulate

STEPS = 6


def eagerly(model):
    """torch.compile without a C++ compiler: Dynamo's graph, run as it is."""
    return REAL(model, backend="aot_eager")


REAL = torch.compile


def problem(**options):
    x = torch.randn(32, 4, generator=torch.Generator().manual_seed(2))
    return Workload(
        name="compiled",
        model=lambda: nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.2), nn.Tanh(), nn.Linear(8, 1)),
        loss=nn.functional.mse_loss,
        train=TensorDataset(x, x[:, :1].sin()),
        valid=TensorDataset(x, x[:, :1].sin()),
        batch_size=8,
        recipe=Recipe(compile=True, **options),
    )


def trained(of, steps=STEPS, rows=None):
    rule = rules.Adam()
    return advance(of, rows or start(of, rule, [0]), [tabulate(rule, STEPS, lr=0.01)], steps)


def test_a_compiled_loop_is_torchs_and_goes_on_where_it_stood(monkeypatch):
    monkeypatch.setattr(torch, "compile", eagerly)
    of = problem()
    rows = trained(of)
    model = of.build(0).train()
    through, optimizer = eagerly(model), torch.optim.Adam(model.parameters(), lr=0.01, fused=True)
    for step in range(STEPS):
        torch.manual_seed(generator_seed(0, "step", step))
        inputs, targets = (tensor[of.batch(0, step)] for tensor in of.train.tensors)
        loss = of.loss(through(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert rows.losses[0][step] == (step, loss.item())
    for name, param in model.named_parameters():
        assert torch.allclose(rows.params[name][0], param, rtol=1e-5, atol=1e-7)
    mine, theirs = rows_to_tensors(rows), rows_to_tensors(trained(of, rows=trained(of, steps=2)))
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    with torch.no_grad():
        expected = of.loss(model.eval()(of.valid.tensors[0]), of.valid.tensors[1]).item()
    assert evaluate(of, rows, "valid")[0]["loss"] == pytest.approx(expected, rel=1e-6)


def test_every_model_that_is_called_is_compiled(monkeypatch):
    seen = []
    monkeypatch.setattr(torch, "compile", lambda model: seen.append(model) or model)
    of = problem()
    evaluate(of, trained(of), "valid")
    assert len(seen) == 2


def test_rows_are_not_compiled_by_model():
    of = problem()
    why = 'since compile = true compiles the model by itself, and rows are compiled by mode = "rows compiled"'
    with pytest.raises(modes.ModeError, match=why):
        modes.fixed(of, rules.SGD(), "rows", 8, 10)
    rule = rules.SGD()
    rows, path = start(of, rule, [0]), tabulate(rule, 1, lr=0.1)
    with pytest.raises(ValueError, match=why):
        advance(of, rows, [path], 1, mode=Mode("rows", 8, ""))


def test_what_does_not_compile_is_told_in_words(monkeypatch):
    from torch._dynamo.exc import BackendCompilerFailed

    def failing(_):
        raise BackendCompilerFailed(print, RuntimeError("no C++ compiler was found"), [])

    monkeypatch.setattr(
        torch, "compile", lambda model: model.register_forward_pre_hook(lambda *_: failing(_)) and model
    )
    with pytest.raises(compiled.UncompiledError, match="asks for compile = true, but there is no C"):
        trained(problem())


@pytest.mark.parametrize("given", [1, "true", None])
def test_compile_is_true_or_false(given):
    with pytest.raises(TypeError, match="got compile="):
        Recipe(compile=given)
