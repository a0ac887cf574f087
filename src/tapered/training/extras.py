"""What a model keeps by torch's `get_extra_state`, beside its tensors, as bytes that travel with its row.

model ─ pack ─► bytes ─ unpack ─► another model       tensors and plain values only; nothing in them is code
"""

import json

import safetensors.torch
import torch
from torch import nn

from tapered.files.errors import CheckpointError
from tapered.files.tree import Encoder, decode, plain

TREE = "~tree"  # the JSON beside the tensors


def keepers(model: nn.Module) -> dict[str, nn.Module]:
    """The modules that keep a state of their own, by name."""
    unset = nn.Module.get_extra_state
    return {name: module for name, module in model.named_modules() if type(module).get_extra_state is not unset}


def pack(model: nn.Module) -> bytes:
    """The extra state of all its modules; nothing where none keeps any.

    Raises:
        TypeError: If one holds more than tensors and plain values.
    """
    states = {name: module.get_extra_state() for name, module in keepers(model).items()}
    if not states:
        return b""
    encoder = Encoder()
    try:
        tree = json.dumps(encoder.encode(states, "get_extra_state")).encode()
    except CheckpointError as error:
        raise TypeError(str(error)) from error
    tensors = {name: plain(tensor) for name, tensor in encoder.tensors.items()}
    return safetensors.torch.save({**tensors, TREE: torch.frombuffer(bytearray(tree), dtype=torch.uint8)})


def unpack(model: nn.Module, packed: bytes) -> None:
    """Give the modules of a model the extra state that was packed."""
    if packed:
        tensors = safetensors.torch.load(packed)
        states = decode(json.loads(tensors.pop(TREE).numpy().tobytes()), tensors)
        for name, module in keepers(model).items():
            module.set_extra_state(states[name])
