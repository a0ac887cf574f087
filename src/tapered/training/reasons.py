"""What a model or its data cannot do here, in words: what it is, why, what to write."""

import re

from torch import nn
from torch.nn.parameter import is_lazy

from tapered.draws import DrawError
from tapered.training.living import UnsteadyError
from tapered.training.trees import TreeError

PADDING = (
    "items of a split have several shapes, and a minibatch is one tensor; pad each to one length where the dataset "
    "makes it, and give the model a mask or the lengths beside it, as a part of its input"
)
GRADIENT = (
    "evaluation takes no gradients; a model or loss that needs them there, as a physics-informed one, asks for them "
    "itself: with torch.enable_grad():"
)
INPUTS = (
    "a model is called with the input of a batch as its one argument, also where that is a dict or a tuple; try a "
    "module whose forward(self, inputs) passes on **inputs or *inputs"
)
DTYPES = "inputs or targets have another dtype than the model's weights; try x.float() where the dataset makes them"
PARTS = (
    "a dict, tuple or list stands where a tensor was expected: a model is given the first part of an item as it is, a "
    "loss what the model returns as it is; take them apart there"
)
ITEMS = "a dataset's items are pairs of tensors, numbers, or dicts and tuples of them; make them so in its __getitem__"
# what torch says -> what it means; the first that fits
HINTS = (
    ("each tensor to be equal size", PADDING),
    ("of batch should be of equal size", PADDING),
    ("must contain tensors, numpy arrays, numbers", ITEMS),
    ("does not require grad", GRADIENT),
    ("must have the same dtype", DTYPES),
    ("must be Tensor, not dict", INPUTS),
    ("must be Tensor, not list", INPUTS),
    ("must be Tensor, not tuple", INPUTS),
    ("missing 1 required positional argument", INPUTS),
    ("'dict' object has no attribute", PARTS),
    ("'tuple' object has no attribute", PARTS),
    ("'list' object has no attribute", PARTS),
)  # fmt: skip
DRAWS = "the model draws random numbers, as dropout does, and stacked they would not follow seed and step"
AUTOGRAD = "the model takes gradients of its own by autograd, and stacked it would have to by torch.func"
IN_PLACE = "the model writes into a tensor in place, which stacked would be another one for each row"
SIZES = "the model makes tensors of another size for each row, as pack_padded_sequence does; a mask over padding stacks"
# what is said where rows are tried -> why they are left; the first that fits
ALONE = (
    ("randomness", DRAWS),
    ("data-dependent", "the model branches on its data, and rows may branch differently"),
    (".item()", "the model branches on its data, and rows may branch differently"),
    ("requires_grad_()", AUTOGRAD),
    ("require grad", AUTOGRAD),
    ("requires grad", AUTOGRAD),
    ("in-place", IN_PLACE),
    ("inplace", IN_PLACE),
    ("out= or view", IN_PLACE),
    ("each tensor to be equal size", SIZES),
    ("expected scalar type", "half precision meets an operation of the model that vmap does not take in two dtypes"),
    ("jitted", "the model is scripted by torch.jit, whose parameters cannot be stacked; rows take it unscripted"),
    ("nested", "the model or its data uses nested tensors, which do not stack"),
    ("sparse", "the model or its data uses sparse tensors, which do not stack"),
)  # fmt: skip


def advised(error: BaseException) -> str:
    """What to write instead, after a semicolon; empty where nothing is known.

    >>> advised(RuntimeError("element 0 of tensors does not require grad"))[:34]
    '; evaluation takes no gradients; a'
    """
    said = str(error)
    return next((f"; {hint}" for sign, hint in HINTS if sign in said), "")


def unstackable(error: BaseException) -> str:
    """Why a model's rows are not trained together, a sentence without a full stop; nothing of torch's own words.

    >>> unstackable(RuntimeError("vmap: called random operation while in randomness error mode"))[:38]
    'the model draws random numbers, as dro'
    """
    if isinstance(error, TreeError):
        return str(error)
    if isinstance(error, UnsteadyError):
        return str(error).partition(";")[0]
    if isinstance(error, DrawError):
        return DRAWS
    said = str(error)
    known = next((reason for sign, reason in ALONE if sign.lower() in said.lower()), None)
    if known is None and (lacking := re.search(r"rule not implemented for aten::(\w+)", said)):
        return f"torch.func.vmap has no rule for torch's {lacking[1]}, which the model, its loss or its data use"
    return known or (
        f"the model, its loss or its data use something that torch.func.vmap does not take (a {type(error).__name__})"
    )


def uncompiled(error: BaseException) -> str:
    """Why there is no one graph, a clause without a full stop.

    >>> uncompiled(RuntimeError("no C++ compiler was found"))
    'there is no C++ compiler here that torch could use for one graph'
    """
    if "compiler" in str(error).lower():
        return "there is no C++ compiler here that torch could use for one graph"
    return f"torch's compiler does not take it as one graph (a {type(error).__name__})"


def refuse_model(workload: str, model: nn.Module) -> None:
    """Refuse what no rule could train.

    Raises:
        TypeError: If a layer is lazy or asks for sparse gradients.
    """
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if is_lazy(tensor):
            raise TypeError(
                f"workload {workload!r}: {name!r} of the model has no shape yet, as its layer is lazy and has seen no "
                f"data; give the layer its input's size, or run a batch through it in model() before it is returned"
            )
    for name, module in model.named_modules():
        if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
            raise TypeError(
                f"workload {workload!r}: layer {name!r} of the model has sparse gradients, which rules and rows do not "
                f"take; try {type(module).__name__}(..., sparse=False), whose numbers are the same"
            )
