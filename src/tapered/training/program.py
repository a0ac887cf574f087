"""The update of many rows as one program: traced to plain tensor operations, rearranged, compiled.

vmap(grad_and_value(loss)), vmap(rule)  ─ make_fx ─►  a flat graph  ─ thin ─►  a flat graph  ─ inductor ─►  a call
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx

from tapered.draws import undrawn
from tapered.rules import State
from tapered.training.trees import form_of, taken_apart, tensors_of

Tensors = Mapping[str, Tensor]
Step = Callable[[Tensors, Tensors, Mapping[str, State], Any, Any, Tensor, Tensors], Tensor]  # inputs, targets: trees
THIN = 8  # columns of a product from which on the library's batched kernel fills its vector registers
# torch before 2.12 joins a kernel that writes an input with one that has yet to read it: BatchNorm's gradient was wrong
ALONE = {"max_fusion_size": 1} if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 12) else {}
bmm, transpose = torch.ops.aten.bmm.default, torch.ops.aten.transpose.int
view, reshape = torch.ops.aten.view.default, torch.ops.aten.reshape.default


def replayed(step: Step, *, compiled: bool) -> Step:
    """The step as one flat graph, traced at the first call for inputs of a shape.

    It gives the step's own bits without vmap's cost a call, or, compiled, the same numbers in fewer passes. Traced
    without guards: a step that branches on Python values that change from call to call must not come here.
    """
    ready: dict[Any, Callable[..., Any]] = {}  # a dataset's inputs are as many as the seeds of the rows ask for

    @torch.no_grad()
    def call(*parts: Any) -> Tensor:
        given = tensors(*parts)
        shape = (given[0].shape, *map(form_of, parts[3:5]))
        if shape not in ready:
            with undrawn():  # what a graph draws would be drawn once, and be a constant from then on
                graph = traced(step, parts)
            ready[shape] = _compiled(arranged(graph), given) if compiled else graph
        return ready[shape](*given)  # type: ignore[no-any-return]  # graphs are untyped

    return call


def _compiled(graph: GraphModule, given: list[Tensor]) -> Callable[..., Any]:
    from torch._subclasses import FakeTensorMode  # noqa: PLC0415 - with the next one 0.7 s, only where one compiles
    from torch.fx.experimental.symbolic_shapes import ShapeEnv  # noqa: PLC0415

    # torch keeps what it compiled for the next process only where it knows of symbolic shapes, of which there are none
    fake = FakeTensorMode(shape_env=ShapeEnv(), allow_non_fake_inputs=True)
    shapes: list[Any] = [fake.from_tensor(tensor, static_shapes=True) for tensor in given]
    # shapes cannot change here, and looking at each of them takes a fortieth of a small step
    return torch._inductor.compile(graph, shapes, options={"size_asserts": False, **ALONE})  # type: ignore[no-any-return]  # noqa: SLF001


def tensors(
    params: Tensors,
    buffers: Tensors,
    state: Mapping[str, State],
    inputs: Any,
    targets: Any,
    indices: Tensor,
    scalars: Tensors,
) -> list[Tensor]:
    """The tensors of a step's arguments, in the order of the graph's, whichever their names come in."""
    parts = (params, buffers, *(state[name] for name in sorted(state)), scalars)
    named = (part[name] for part in parts for name in sorted(part))
    return [*tensors_of(inputs), *tensors_of(targets), indices, *named]


def traced(step: Step, parts: Any) -> GraphModule:
    """The step as a flat graph of tensor operations over the tensors of `parts`, which are not written."""
    params, buffers, state, *data, _, scalars = parts
    trees = [taken_apart(tree) for tree in data]

    def flat(*given: Tensor) -> Tensor:
        left = iter(given)
        inputs, targets = (rebuild([next(left) for _ in leaves]) for leaves, rebuild in trees)
        indices = next(left)
        mine, others = ({name: next(left) for name in sorted(part)} for part in (params, buffers))
        slots = {name: {key: next(left) for key in sorted(state[name])} for name in sorted(state)}
        return step(mine, others, slots, inputs, targets, indices, {name: next(left) for name in sorted(scalars)})

    # traced by running it once, on copies of what it writes
    return make_fx(flat)(*(tensor.clone() for tensor in tensors(*parts)))


def arranged(graph: GraphModule) -> GraphModule:
    """Products with few columns, A B, as (B' A')': MKL's batched kernel takes a fifth of the time for few rows."""
    for node in [node for node in graph.graph.nodes if node.target is bmm]:
        _, rows, columns = node.meta["tensor_meta"].shape
        if columns < THIN and rows > columns:
            _turned(graph, node)
    for node in graph.graph.nodes:
        if node.target is view:  # what was turned lies otherwise in memory
            node.target = reshape
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def _turned(graph: GraphModule, node: Node) -> None:
    def make(target: Any, *arguments: Any) -> Node:
        return graph.graph.call_function(target, arguments)

    with graph.graph.inserting_before(node):
        left, right = (make(transpose, argument, 1, 2) for argument in node.args)
        turned = make(transpose, make(bmm, right, left), 1, 2)
    node.replace_all_uses_with(turned)
    graph.graph.erase_node(node)
