"""The update of many rows as one program: traced to plain tensor operations, rearranged, compiled.

vmap(grad_and_value(loss)), vmap(rule)  ─ make_fx ─►  a flat graph  ─ thin ─►  a flat graph  ─ inductor ─►  a call
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from tapered.draws import undrawn
from tapered.rules import State
from tapered.training import vectors
from tapered.training.trees import form_of, taken_apart, tensors_of

Tensors = Mapping[str, Tensor]
Step = Callable[[Tensors, Tensors, Mapping[str, State], Any, Any, Tensor, Tensor], Tensor]  # inputs, targets: trees
Call = Callable[..., Node]
Form = Callable[[Call, Node, Node], Node]
THIN = 8  # columns of a product from which on the library's batched kernel fills its vector registers
FEW = 4  # terms of a product's sums, or rows of it, up to which they cost less than a call of the library
CACHED = 2**13  # numbers of a factor that a core's first cache holds
# torch before 2.12 joins a kernel that writes an input with one that has yet to read it: BatchNorm's gradient was wrong
ALONE = {"max_fusion_size": 1} if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 12) else {}
WHOLE = (torch.float32, torch.float64)  # a library's product in fewer bits is rounded once
aten = torch.ops.aten
bmm, transpose, view, reshape = aten.bmm.default, aten.transpose.int, aten.view.default, aten.reshape.default


def replayed(step: Step, *, compiled: bool) -> "Replayed":
    """The step as one flat graph, traced at the first call for inputs of a shape.

    It gives the step's own bits without vmap's cost a call, or, compiled, the same numbers in fewer passes. Traced
    without guards: a step that branches on Python values that change from call to call must not come here.
    """
    return Replayed(step, compiled)


class Replayed:
    """A step as flat graphs, one for each shape of its inputs; to be called as the step is, or over the same rows."""

    def __init__(self, step: Step, compiled: bool) -> None:  # noqa: FBT001 - `replayed` names it
        self.step, self.compiled = step, compiled
        self.ready: dict[Any, Callable[..., Any]] = {}  # a dataset's inputs are as many as the rows' seeds ask for

    def __call__(self, params: Tensors, buffers: Tensors, state: Mapping[str, State], *rest: Any) -> Tensor:
        """One update of these rows, in place, and their losses."""
        return self.over(params, buffers, state)(*rest)

    def over(self, params: Tensors, buffers: Tensors, state: Mapping[str, State]) -> Callable[..., Tensor]:
        """Updates of the same rows, one a call, whose tensors are looked up once."""
        held = _held(params, buffers, state)
        before: tuple[Any, Any, Callable[..., Any]] | None = None  # a step's data are most often those of the last one

        def call(inputs: Any, targets: Any, indices: Tensor, scalars: Tensor) -> Tensor:
            nonlocal before
            if before is None or before[0] is not inputs or before[1] is not targets:
                with torch.no_grad():
                    graph = self._graph(params, buffers, state, inputs, targets, indices, scalars)
                before = inputs, targets, graph
            given = (*tensors_of(inputs), *tensors_of(targets), indices, scalars, *held)
            with torch.no_grad():
                return before[2](*given)  # type: ignore[no-any-return]  # graphs are untyped

        return call

    def traced_already(self) -> GraphModule | None:
        """A graph that is known and is not compiled."""
        return next((graph for graph in self.ready.values() if isinstance(graph, GraphModule)), None)

    def _graph(self, *parts: Any) -> Callable[..., Any]:
        given = tensors(*parts)
        shape = (given[0].shape, *map(form_of, parts[3:5]))
        if shape not in self.ready:
            with undrawn():  # what a graph draws would be drawn once, and be a constant from then on
                graph = traced(self.step, parts)
            self.ready[shape] = _compiled(arranged(graph), given) if self.compiled else graph
        return self.ready[shape]


def _compiled(graph: GraphModule, given: list[Tensor]) -> Callable[..., Any]:
    from torch._subclasses import FakeTensorMode  # noqa: PLC0415 - with the next one 0.7 s, only where one compiles
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: PLC0415

    # torch keeps what it compiled for the next process only where it knows of symbolic shapes, of which there are none
    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    shapes: list[Any] = [fake.from_tensor(tensor, static_shapes=True) for tensor in given]
    # shapes cannot change here, and looking at each of them takes a fortieth of a small step
    options: dict[str, Any] = {"size_asserts": False, **ALONE}
    return vectors.known(lambda more: torch._inductor.compile(graph, shapes, options={**options, **more}))  # type: ignore[no-any-return]  # noqa: SLF001


def compiled_alone(function: Callable[[Tensor], Tensor]) -> None:
    """Compile a graph of one operation, which brings everything with it that a first graph does."""
    given = torch.zeros(16)
    _compiled(make_fx(function)(given), [given])


def tensors(
    params: Tensors,
    buffers: Tensors,
    state: Mapping[str, State],
    inputs: Any,
    targets: Any,
    indices: Tensor,
    scalars: Tensor,
) -> list[Tensor]:
    """The tensors of a step's arguments, in the order of the graph's, whichever their names come in."""
    return [*tensors_of(inputs), *tensors_of(targets), indices, scalars, *_held(params, buffers, state)]


def _held(params: Tensors, buffers: Tensors, state: Mapping[str, State]) -> list[Tensor]:
    """What is updated in place, of all steps the same."""
    parts = (params, buffers, *(state[name] for name in sorted(state)))
    return [part[name] for part in parts for name in sorted(part)]


def traced(step: Step, parts: Any) -> GraphModule:
    """The step as a flat graph of tensor operations over the tensors of `parts`, which are not written."""
    params, buffers, state, *data, _, _ = parts
    trees = [taken_apart(tree) for tree in data]

    def flat(*given: Tensor) -> Tensor:
        left = iter(given)
        inputs, targets = (rebuild([next(left) for _ in leaves]) for leaves, rebuild in trees)
        indices, scalars = next(left), next(left)
        mine, others = ({name: next(left) for name in sorted(part)} for part in (params, buffers))
        slots = {name: {key: next(left) for key in sorted(state[name])} for name in sorted(state)}
        return step(mine, others, slots, inputs, targets, indices, scalars)

    # traced by running it once, on copies of what it writes
    return make_fx(flat)(*(tensor.clone() for tensor in tensors(*parts)))


def arranged(graph: GraphModule) -> GraphModule:
    """Products of few terms or rows as sums, and those with few columns, A B, as (B' A')'.

    MKL's batched kernel takes a fifth of the time for few rows, and a compiled loop less than that for very few.
    """
    products = [node for node in graph.graph.nodes if node.target is bmm]
    # all of them first, as one may be a factor of the next
    for node, left, made in [(node, node.args[0].meta["tensor_meta"], node.meta["tensor_meta"]) for node in products]:
        (_, rows, columns), terms = made.shape, left.shape[2]
        turned = columns < THIN and rows > columns
        if 0 < terms <= FEW and left.dtype in WHOLE:
            _written(graph, node, partial(_few_terms, terms))
        elif min(rows, columns) <= FEW and terms * max(rows, columns) <= CACHED and left.dtype in WHOLE:
            _written(graph, node, _few_rows, turned=turned)
        elif turned:
            _written(graph, node, lambda call, left, right: call(bmm, (left, right)), turned=True)
    for node in graph.graph.nodes:
        if node.target is view:  # what was turned lies otherwise in memory
            node.target = reshape
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _written(graph: GraphModule, node: Node, form: Form, *, turned: bool = False) -> None:
    """A product in another form: of its factors, or of both transposed and in the other order."""
    call = graph.graph.call_function
    with graph.graph.inserting_before(node):
        factors = [call(transpose, (factor, 1, 2)) for factor in reversed(node.args)] if turned else node.args
        made = form(call, *factors)
        made = call(transpose, (made, 1, 2)) if turned else made
    node.replace_all_uses_with(made)
    graph.graph.erase_node(node)


def _few_terms(terms: int, call: Call, left: Node, right: Node) -> Node:
    """A B as a sum of products of a column and a row each, added where they are needed."""
    columns, rows = (
        [call(aten.slice.Tensor, (factor, axis, k, k + 1)) for k in range(terms)]
        for factor, axis in ((left, 2), (right, 1))
    )
    total, *others = (call(aten.mul.Tensor, pair) for pair in zip(columns, rows, strict=True))
    for other in others:
        total = call(aten.add.Tensor, (total, other))
    return total


def _few_rows(call: Call, left: Node, right: Node) -> Node:
    """A B as a loop over its terms, sum_k A[:, k] B[k, :]."""
    pair = call(aten.unsqueeze.default, (left, 3)), call(aten.unsqueeze.default, (right, 1))
    return call(aten.sum.dim_IntList, (call(aten.mul.Tensor, pair), [2]))
