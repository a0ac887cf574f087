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
# of what a device has no deterministic way -> what to write instead; each with the start of torch's name for it
OTHERWISE = (
    ("nll_loss2d", "take places as examples: cross_entropy(outputs.movedim(1, -1).flatten(0, -2), targets.flatten())"),
    ("cumsum", "multiply by a triangle of ones: x @ torch.ones(n, n, device=x.device).triu()"),
    ("adaptive_avg_pool", "take x.mean((-2, -1))"),
    ("upsample", 'take mode="nearest", or ConvTranspose2d'),
    ("reflection_pad", "pad with zeros"),
    ("replication_pad", "pad with zeros"),
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
    if isinstance(error, UnsteadyError | UndeterminedError):
        return str(error).partition(";")[0]
    if isinstance(error, DrawError):
        return DRAWS
    said = str(error)
    lacking = re.search(r"Could not run 'aten::(\w+)'", said)  # then it lists all of its own parts, some of these words
    if lacking:
        return f"torch has no {lacking[1]} for this device, or not stacked"
    known = next((reason for sign, reason in ALONE if sign.lower() in said.lower()), None)
    if known is None and (lacking := re.search(r"rule not implemented for aten::(\w+)", said)):
        return f"torch.func.vmap has no rule for torch's {lacking[1]}, which the model, its loss or its data use"
    return known or (
        f"the model, its loss or its data use something that torch.func.vmap does not take (a {type(error).__name__})"
    )


class UndeterminedError(RuntimeError):
    """A computation whose last bits would differ from run to run on a device; the message says what to write."""


def undetermined(error: BaseException) -> str | None:
    """What torch refuses where numbers are to come out again bit by bit, in words; None of another error.

    >>> said = "cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use_deter"
    >>> undetermined(RuntimeError(said))[:70]
    'torch has no cumsum on this device that gives the same bits each time,'
    """
    said = str(error)
    if "CUBLAS_WORKSPACE_CONFIG" in said:
        return (
            "torch made a product on the GPU before CUBLAS_WORKSPACE_CONFIG was set, or it is set to something else, "
            "so that last bits would differ each time; set CUBLAS_WORKSPACE_CONFIG=:4096:8 before Python starts"
        )
    found = re.match(r"(\w+)(?: CUDA)? does not have a deterministic implementation", said)
    if found is None:
        return None
    name = re.sub(r"_?(backward|forward|out|cuda|kernel|template)(?=_|$)", "", found[1])
    fix = next((fix for sign, fix in OTHERWISE if name.strip("_").startswith(sign)), "write it of other operations")
    return (
        f"torch has no {name.strip('_')} on this device that gives the same bits each time, so that no run could be "
        f'resumed, forked or verified; {fix}; or train on device = "cpu"'
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
