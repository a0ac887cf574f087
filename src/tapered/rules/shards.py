"""Parameters that several processes share: a DTensor (FSDP2, tensor parallelism) holds a part of itself in each.

torch.distributed.tensor is heavy to import, so a DTensor is known by its methods.
"""

from collections.abc import Sequence

from torch import Tensor, nn

PLAIN = (Tensor, nn.Parameter)


def is_shared(tensor: Tensor) -> bool:
    """A DTensor; every step comes through here."""
    return type(tensor) not in PLAIN and hasattr(tensor, "to_local")


def local(tensor: Tensor) -> Tensor:
    """This process's part of a DTensor, sharing memory; any other tensor as it is."""
    found: Tensor = tensor.to_local() if is_shared(tensor) else tensor  # type: ignore[attr-defined]  # a DTensor's
    return found


def places(tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Where the parts of DTensors lie, which FSDP may move while the DTensors stay; () where there is none."""
    return tuple(local(tensor).data_ptr() for tensor in tensors if is_shared(tensor))


def as_laid_out(grad: Tensor, param: Tensor) -> Tensor:
    """The part of a gradient that belongs to this process's part of its parameter.

    Tensor parallelism leaves sums that are still to be taken over the processes, or other places.
    """
    if not is_shared(param):
        return grad
    if grad.placements != param.placements:  # type: ignore[attr-defined]  # a DTensor's
        grad = grad.redistribute(placements=param.placements)  # type: ignore[attr-defined]  # as above
    return local(grad)


def anywhere(flags: Tensor) -> bool:
    """Some element is true, in whichever process: all get one answer, where `bool` would give each its own part's."""
    found = flags.any()
    return bool(found.full_tensor() if is_shared(found) else found)  # type: ignore[attr-defined]  # a DTensor's
