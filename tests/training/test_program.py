"""The traced update: what rearranging must not change."""

import warnings
from functools import reduce
from pathlib import Path

import numpy as np
import pytest
import torch
from models import ALL, perceptron
from study_cases import planned
from torch import nn
from torch._inductor.utils import fresh_cache
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils.data import TensorDataset

from tapered import rules
from tapered.training import scalars, stack
from tapered.training.advance import Mode, advance
from tapered.training.batches import Batches
from tapered.training.program import arranged, bmm, replayed, tensors, traced
from tapered.training.rows import Path as Path_
from tapered.training.rows import start, tabulate
from tapered.training.workload import Workload

RULE, WIDTH = rules.Adam(), 8


def parts(workload: Workload) -> tuple:
    """The arguments of an update of eight rows."""
    rows = start(workload, RULE, list(range(WIDTH)))
    path = tabulate(RULE, 4, lr=0.01)
    batches = Batches(workload, rows.seeds, 0, 4)
    at_step = scalars.laid_out(workload, RULE, [path] * WIDTH, 0, 4, rows.params)[0]
    return rows.params, rows.buffers, rows.state, *batches(), at_step


def run(function, given: tuple) -> list[torch.Tensor]:
    """The losses and everything written, of copies."""
    params, buffers, state, *rest = given
    params, buffers = ({name: t.clone() for name, t in part.items()} for part in (params, buffers))
    state = {name: {key: t.clone() for key, t in part.items()} for name, part in state.items()}
    losses = function(params, buffers, state, *rest)
    return [losses, *params.values(), *buffers.values(), *(t for part in state.values() for t in part.values())]


def as_called(graph):
    def call(*given):
        with torch.no_grad():
            return graph(*tensors(*given))

    return call


@pytest.mark.parametrize("name", ALL)
def test_traced_is_the_same_bits_and_arranged_the_same_numbers(name: str) -> None:
    workload = ALL[name]()
    given = parts(workload)
    step = stack.make(workload, RULE, 0, "plain")
    wanted = run(step, given)
    graph = stack._as_rows(lambda: traced(step, given))()
    assert all(map(torch.equal, run(as_called(graph), given), wanted))
    for found, true in zip(run(as_called(arranged(graph)), given), wanted, strict=True):
        torch.testing.assert_close(found, true, rtol=1e-5, atol=1e-6)


def test_tracing_writes_nothing_that_was_given() -> None:
    given = parts(perceptron())
    before = [t.clone() for t in given[0].values()]
    stack._as_rows(lambda: traced(stack.make(perceptron(), RULE, 0, "plain"), given))()
    assert all(map(torch.equal, given[0].values(), before))


def test_products_with_few_columns_are_turned() -> None:
    given = parts(perceptron())
    graph = stack._as_rows(lambda: traced(stack.make(perceptron(), RULE, 0, "plain"), given))()

    def thin() -> int:
        shapes = [n.meta.get("tensor_meta") for n in graph.graph.nodes if n.target is bmm]
        return sum(meta is not None and meta.shape[2] < 8 < meta.shape[1] for meta in shapes)

    before = thin()
    arranged(graph)
    assert before > 0
    assert thin() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("terms", [0, 1, 4, 5])
def test_products_of_few_terms_are_sums_of_as_many(terms: int, dtype: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(*shape, generator=draw).to(dtype) for shape in ((3, 12, terms), (3, terms, 16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = arranged(make_fx(torch.bmm)(left, right))
    summed = 0 < terms <= 4 and dtype != torch.bfloat16  # which a library's product rounds once
    assert [node.target for node in graph.graph.nodes].count(bmm) == (0 if summed else 1)
    true = np.einsum("bij,bjk->bik", *(t.double().numpy() for t in (left, right)))
    np.testing.assert_allclose(graph(left, right).double().numpy(), true, atol=0.1 if dtype == torch.bfloat16 else 1e-5)


@pytest.mark.parametrize(
    ("rows", "terms", "columns", "calls"),
    [(2, 32, 16, 0), (16, 32, 2, 0), (4, 33, 5, 0), (1, 9, 1, 0), (5, 32, 16, 1), (2, 4097, 2, 1)],
)
def test_products_of_few_rows_are_loops_over_their_terms(rows: int, terms: int, columns: int, calls: int) -> None:
    draw = torch.Generator().manual_seed(0)
    left, right = (torch.randn(*shape, generator=draw) for shape in ((3, rows, terms), (3, terms, columns)))
    graph = arranged(make_fx(torch.bmm)(left, right))
    assert [node.target for node in graph.graph.nodes].count(bmm) == calls
    true = np.einsum("bij,bjk->bik", left.double().numpy(), right.double().numpy())
    np.testing.assert_allclose(graph(left, right).double().numpy(), true, rtol=1e-4, atol=1e-4)


def test_a_product_of_products_is_arranged_whatever_becomes_of_its_factors() -> None:
    draw = torch.Generator().manual_seed(0)
    factors = [torch.randn(3, *shape, generator=draw) for shape in ((12, 2), (2, 12), (12, 3), (3, 9), (9, 20))]
    graph = arranged(make_fx(lambda *each: reduce(torch.bmm, each))(*factors))
    true = reduce(np.matmul, [factor.double().numpy() for factor in factors])
    np.testing.assert_allclose(graph(*factors).double().numpy(), true, rtol=1e-4, atol=1e-4)


class Shifted(nn.Module):
    """A model that makes a constant on its way."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ (self.weight + torch.tensor([1.0, 2.0]))


def test_constants_made_in_a_model_are_compiled() -> None:
    inputs = torch.randn(32, 2, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(inputs, torch.ones(32))
    workload = Workload("a", Shifted, lambda x, y: ((x - y) ** 2).mean(), data, data, batch_size=8)
    path = tabulate(RULE, 10, lr=0.01)
    rows = start(workload, RULE, range(WIDTH))
    modes = [Mode(kind, WIDTH, "a test") for kind in ("rows", "rows compiled")]
    stacked, compiled = (advance(workload, rows, [path] * WIDTH, 10, mode=mode) for mode in modes)
    torch.testing.assert_close(stacked.params["weight"], compiled.params["weight"])


def test_a_long_way_is_traced_and_gives_the_bits_of_short_ones() -> None:
    workload = perceptron()
    path, mode = tabulate(RULE, stack.TRACED + 8, lr=0.01), Mode("rows", WIDTH, "a test")
    rows = start(workload, RULE, range(WIDTH))
    at_once = advance(workload, rows, [path] * WIDTH, path.steps, mode=mode)
    for stop in (100, 200, path.steps):
        rows = advance(workload, rows, [path] * WIDTH, stop, mode=mode)
    assert all(torch.equal(rows.params[name], at_once.params[name]) for name in rows.params)


def test_a_dataset_of_ones_own_compiled_for_other_seeds():
    """Inputs are gathered for the seeds of the rows, so that their shape changes from chunk to chunk."""
    workload = planned(str(Path(__file__).parents[2] / "examples" / "workloads" / "plain.toml")).workload
    path, found = tabulate(RULE, 12, lr=1e-3), []
    advance(workload, start(workload, RULE, [0] * 8), [path] * 8, 4, mode=Mode("rows compiled", 8, "a test"))
    for kind in ("rows", "rows compiled"):
        rows = start(workload, RULE, range(8))
        found.append(advance(workload, rows, [path] * 8, 12, mode=Mode(kind, 8, "a test")).params)
    assert all(torch.allclose(found[0][name], found[1][name], atol=2e-5) for name in found[0])


def weighted(weights: torch.Tensor):
    """A step whose graph holds a tensor of its own, as a loss with class weights does."""

    def step(params, buffers, state, inputs, targets, indices, scalars):  # noqa: ARG001 - a step's arguments
        params["w"].mul_(weights)
        return params["w"].sum(1)

    return step


def test_a_graph_is_compiled_once_for_all_processes_and_its_constants_are_its_own() -> None:
    """The second of the same shape is torch's cached program, with the second's own weights; against plain products."""
    with fresh_cache():
        for turn, factor in enumerate((2.0, 3.0)):
            torch._dynamo.reset()
            torch._dynamo.utils.counters.clear()
            weights = torch.full((5,), factor)
            given = {"w": torch.ones(8, 5)}, {}, {}, *torch.zeros(4, 1)
            losses = replayed(weighted(weights), compiled=True)(*given)
            assert torch.equal(losses, torch.full((8,), 5 * factor))
            assert torch.equal(given[0]["w"], torch.full((8, 5), factor))
            counted = torch._dynamo.utils.counters["inductor"]
            assert (counted["fxgraph_cache_miss"], counted["fxgraph_cache_hit"]) == (1 - turn, turn)


def test_a_turned_product_may_be_flattened() -> None:
    """A gradient of a single layer of four outputs is turned, and its view taken."""
    x = torch.randn(64, 4, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, x.sin())
    workload = Workload("small", lambda: nn.Linear(4, 4), nn.functional.mse_loss, data, data, batch_size=8)
    path, ends = [tabulate(RULE, 4, lr=0.01)] * WIDTH, []
    for kind in ("rows", "rows compiled"):
        rows = advance(workload, start(workload, RULE, range(WIDTH)), path, 4, mode=Mode(kind, WIDTH, ""))
        ends.append(rows.params["weight"])
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


def test_a_graph_takes_hypers_in_any_order() -> None:
    rule, steps = rules.SGD(momentum=True), stack.TRACED + 1  # so many are traced
    path = tabulate(rule, steps, lr=0.1, momentum=0.5, weight_decay=0.25)
    turned = Path_(rule, dict(reversed(path.hypers.items())))
    workload, mode = perceptron(), Mode("rows", 8, "a test")
    one, other = (advance(workload, start(workload, rule, [0]), [each], 3, mode=mode) for each in (path, turned))
    assert all(torch.equal(one.params[name], other.params[name]) for name in one.params)
