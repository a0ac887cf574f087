"""What a model returns, as a tree of tensors: one, or tuples, lists and dicts of them, or what is registered as such.

    tree ─► taken_apart ─► tensors, rebuild ─► tree        trees of chunks, the axis of each leaf ─► joined ─► tree

Registered are named tuples and the outputs of Transformers; a dataclass is when it is first seen.
"""

import dataclasses
from collections import UserDict
from collections.abc import Callable, Sequence
from types import NoneType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree  # it has no public name, and others register their outputs there

PLAIN = (NoneType, bool, int, float, complex, str, bytes)  # leaves that are no tensors and stay as they are
Rebuild = Callable[[Sequence[Tensor]], Any]


class TreeError(TypeError):
    """A value that is no tree of tensors; the message says what it is and what to return."""


class Apart:
    """In the place of what chunks have each by itself and not together: whatever is computed from it raises.

    A number would not do, as NaN has a place where it is largest, and equals no target.
    """

    def __getattr__(self, name: str) -> Any:
        """Refuse what a tensor has.

        Raises:
            TreeError: Always.
        """
        if name.startswith("__"):
            raise AttributeError(name)
        raise TreeError("something of each batch by itself, as its own loss, is used for a whole split")


def taken_apart(tree: Any) -> tuple[list[Tensor], Rebuild]:
    """The tensors of a tree, and what puts others in their places; numbers, texts and None stay as they are.

    Raises:
        TreeError: If something in it is neither.

    >>> tensors, rebuild = taken_apart({"scores": torch.ones(2), "name": "two"})
    >>> len(tensors), rebuild([torch.zeros(1)])
    (1, {'scores': tensor([0.]), 'name': 'two'})
    """
    leaves, shape = _flat(tree)
    strange = next((leaf for leaf in leaves if not isinstance(leaf, (Tensor, *PLAIN))), None)
    if strange is not None:
        raise _no_tree(strange)

    def rebuild(tensors: Sequence[Tensor]) -> Any:
        left = iter(tensors)
        return pytree.tree_unflatten([next(left) if isinstance(leaf, Tensor) else leaf for leaf in leaves], shape)

    return [leaf for leaf in leaves if isinstance(leaf, Tensor)], rebuild


def _no_tree(leaf: Any) -> TreeError:
    kind = type(leaf).__name__
    return TreeError(
        f"the model returns a {kind}, which cannot be taken apart into tensors; return a tensor, or a tuple, a dict or "
        f"a dataclass of them"
    )


def _flat(tree: Any) -> tuple[list[Any], Any]:
    """The leaves of a tree and its form; what has parts is registered, as torch does with few classes by itself."""
    while True:
        leaves, shape = pytree.tree_flatten(tree)
        new = {type(leaf) for leaf in leaves if _has_parts(leaf)}
        if not new:
            return leaves, shape
        for kind in new:
            _register(kind)


def _has_parts(leaf: Any) -> bool:
    return isinstance(leaf, UserDict) or (dataclasses.is_dataclass(leaf) and not isinstance(leaf, type))


def _register(kind: type[Any]) -> None:
    if issubclass(kind, UserDict):  # what the tokenisers of Transformers return
        pytree.register_pytree_node(
            kind,
            lambda batch: (list(batch.values()), list(batch)),
            lambda values, names: kind(dict(zip(names, values, strict=True))),
        )
    else:
        pytree.register_dataclass(kind)


def _map(function: Callable[..., Any], tree: Any, *others: Any) -> Any:
    """A function of each leaf, also within what is first seen here."""
    _flat(tree)
    return pytree.tree_map(function, tree, *others)


def axes(tree: Any, size: int, other: Any, other_size: int) -> tuple[int | None, ...]:
    """Along which axis the examples lie in each leaf, from the trees of two batches of different sizes.

    None for a leaf that has no such axis, as one number a batch, or several, as a table of pairs.

    >>> axes((torch.ones(7, 5), torch.ones(())), 5, (torch.ones(7, 3), torch.ones(())), 3)
    (1, None)
    """
    pairs = zip(_flat(tree)[0], _flat(other)[0], strict=False)
    return tuple(_axis(a, size, b, other_size) for a, b in pairs)


def _axis(a: Any, size: int, b: Any, other_size: int) -> int | None:
    if not (isinstance(a, Tensor) and isinstance(b, Tensor) and a.dim() == b.dim()):
        return None
    found = [axis for axis, pair in enumerate(zip(a.shape, b.shape, strict=True)) if pair[0] != pair[1]]
    return found[0] if [(a.shape[axis], b.shape[axis]) for axis in found] == [(size, other_size)] else None


def joined(trees: Sequence[Any], along: Sequence[int | None]) -> Any:
    """The trees of chunks as the tree of all.

    A leaf without an axis of examples stays where it is the same in every chunk; else `Apart` stands in its place.

    Raises:
        TreeError: If they are no trees at all.

    >>> joined([(torch.ones(2), 1), (torch.zeros(1), 1)], (0, None))
    (tensor([1., 1., 0.]), 1)
    """
    if len(trees) == 1:
        return trees[0]
    leaves, shape = _flat(trees[0])
    if len(leaves) == 1 and leaves[0] is trees[0] and not isinstance(leaves[0], Tensor):
        raise _no_tree(leaves[0])
    rest = [_flat(tree) for tree in trees[1:]]
    if any(theirs != shape for _, theirs in rest) or len(along) != len(leaves):
        raise TreeError("the model returns trees of tensors that differ from one batch to the next; expected one form")
    columns = zip(leaves, *(theirs for theirs, _ in rest), strict=True)
    return pytree.tree_unflatten([_joined(column, axis) for column, axis in zip(columns, along, strict=True)], shape)


def _joined(column: Sequence[Any], axis: int | None) -> Any:
    if axis is not None:
        try:
            return torch.cat(list(column), axis)
        except RuntimeError as error:
            shapes = sorted({tuple(leaf.shape) for leaf in column})[:2]
            raise TreeError(
                f"outputs or targets of a split come in batches of shapes {' and '.join(map(str, shapes))}, which do "
                f"not go together into one, and what is no mean over examples is computed from all of them; pad to one "
                f"length where the dataset makes an item"
            ) from error
    return column[0] if _alike(column) else Apart()


def _alike(column: Sequence[Any]) -> bool:
    first = column[0]
    if isinstance(first, Tensor):
        return all(torch.equal(leaf, first) for leaf in column)
    return isinstance(first, PLAIN) and all(leaf == first for leaf in column)


def is_whole(trees: Sequence[Any], along: Sequence[int | None]) -> bool:
    """Whether `joined` finds a place for every leaf.

    >>> is_whole([(torch.ones(2), 3), (torch.zeros(1), 4)], (0, None))
    False
    """
    columns = zip(*(_flat(tree)[0] for tree in trees), strict=False)
    return all(axis is not None or _alike(column) for column, axis in zip(columns, along, strict=False))


def row(tree: Any, place: int | Tensor) -> Any:
    """A row of trees that were stacked, or, where `place` is a tensor of indices, those rows.

    >>> row((torch.eye(2), "name"), 1)
    (tensor([0., 1.]), 'name')
    """
    if isinstance(tree, Tensor):  # by far the most common, and at every step
        return tree[place]
    return each(tree, lambda leaf: leaf[place])


def rows(trees: Sequence[Any], size: int) -> Any:
    """Minibatches as one batch: each tensor has its examples along the first axis.

    Raises:
        TreeError: If one has not, or they are of several shapes.

    >>> rows([(torch.ones(1), None), (torch.zeros(1), None)], 1)
    (tensor([1., 0.]), None)
    """

    def one(*same: Any) -> Any:
        if not isinstance(same[0], Tensor):
            return same[0]
        shapes = list(dict.fromkeys(tuple(leaf.shape) for leaf in same))
        if len(shapes) > 1 or not shapes[0] or shapes[0][0] != size:
            raise TreeError(
                f"its minibatches of {size} hold tensors of shape {' and '.join(map(str, shapes[:2]))}, and rows "
                f"that are trained together take examples of one shape along the first axis; train one after another: "
                f'mode = "loop"'
            )
        return same[0] if len(same) == 1 else torch.cat(same)

    try:
        return _map(one, *trees)
    except ValueError as error:
        raise TreeError(f"its minibatches are trees of several forms: {error}") from error


def stacked(trees: Sequence[Any]) -> Any:
    """Trees of one form as one, of whose tensors each has a first axis more.

    >>> stacked([(torch.ones(2), None), (torch.zeros(2), None)])
    (tensor([[1., 1.],
            [0., 0.]]), None)
    """
    return _map(lambda *same: torch.stack(same) if isinstance(same[0], Tensor) else same[0], *trees)


def detached(tree: Any) -> Any:
    """A tree without its graph.

    >>> detached((torch.ones(2, requires_grad=True), "name"))
    (tensor([1., 1.]), 'name')
    """
    return each(tree, Tensor.detach)


def each(tree: Any, function: Callable[[Tensor], Tensor]) -> Any:
    """A tree with every tensor through a function.

    >>> each((torch.ones(2), "name"), torch.neg)
    (tensor([-1., -1.]), 'name')
    """
    if isinstance(tree, Tensor):
        return function(tree)
    return _map(lambda leaf: function(leaf) if isinstance(leaf, Tensor) else leaf, tree)


def tensors_of(tree: Any) -> list[Tensor]:
    """The tensors of a tree, as `taken_apart` has them.

    >>> tensors_of({"ids": torch.ones(2)})
    [tensor([1., 1.])]
    """
    return [tree] if isinstance(tree, Tensor) else taken_apart(tree)[0]


def form_of(tree: Any) -> Any:
    """What a tree is without its tensors, to be compared and looked up: names of dicts, in their order.

    >>> form_of({"a": torch.ones(1), "b": torch.ones(1)}) == form_of({"b": torch.ones(1), "a": torch.ones(1)})
    False
    """
    return None if isinstance(tree, Tensor) else repr(_flat(tree)[1])


def strange_of(tree: Any) -> str | None:
    """The kind of a leaf that is no tensor; None where all are.

    >>> strange_of((torch.ones(2), ["a", "b"]))
    'str'
    """
    if isinstance(tree, Tensor):
        return None
    return next((type(leaf).__name__ for leaf in _flat(tree)[0] if not isinstance(leaf, Tensor)), None)


def size_of(tree: Any) -> int:
    """Bytes of a tree's tensors and arrays; 8 for anything else.

    >>> size_of((torch.ones(3), 1))
    20
    """
    return sum(getattr(leaf, "nbytes", 8) for leaf in pytree.tree_leaves(tree))
