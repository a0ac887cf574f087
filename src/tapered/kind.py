"""The kind of processor and of settings that the last bits of a training depend on, beside versions and threads.

    here() ─► {"vectors": "AVX2", "matmul precision": "highest", ..., "bits": "93c0a1f2"}

The same program gives other last bits where torch, MKL or oneDNN choose other instructions. Names say which; what no
name says, such as the instructions that MKL chose for this very processor, shows in `bits`: the SHA-256 of what a few
fixed operations give here.
"""

import hashlib
import os
from collections.abc import Mapping
from functools import lru_cache

import torch
from torch import Tensor

Kind = Mapping[str, str]
TRAINED, WEIGHTS = "kind", "workload.weights"  # what a study's folder calls it, and what may follow from it
# what the libraries read when they load, and what is common to the names of each
VARIABLES = {
    "MKL": ("MKL_ENABLE_INSTRUCTIONS", "MKL_CBWR", "MKL_DEBUG_CPU_TYPE"),
    "oneDNN": ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ONEDNN_DEFAULT_FPMATH_MODE", "DNNL_DEFAULT_FPMATH_MODE"),
}


USED: list[str] = []  # devices on which something is trained in this process, beside the processor


def use(device: str) -> None:
    """Name a device from now on, beside the processor, as what numbers depend on."""
    if device not in USED:
        USED.append(device)


def here(*, gpus: bool = False) -> dict[str, str]:
    """The kind that this process is now, name -> text; two that are equal compute the same bits.

    Args:
        gpus: Also of the GPUs that it uses.

    >>> here()["default dtype"], here() == here()
    ('float32', True)
    """
    found = {"vectors": torch.backends.cpu.get_cpu_capability()}
    for library, names in VARIABLES.items():
        given = [f"{name}={os.environ[name]}" for name in names if os.environ.get(name)]
        found[library] = ", ".join(given) or "as it finds"
    found |= {
        "matmul precision": torch.get_float32_matmul_precision(),
        "deterministic": _deterministic(),
        "mkldnn": "on" if torch.backends.mkldnn.enabled else "off",
        "default dtype": str(torch.get_default_dtype()).removeprefix("torch."),
    }
    return (
        found | {"bits": _bits(tuple(sorted(found.items())), flushes())} | (_cuda() if gpus or USED else {}) | _used()
    )


def _deterministic() -> str:
    if not torch.are_deterministic_algorithms_enabled():
        return "no"
    return "warns" if torch.is_deterministic_algorithms_warn_only_enabled() else "yes"


def flushes() -> bool:
    """Whether numbers too small for the exponent become 0 (`torch.set_flush_denormal`)."""
    return bool((torch.full((16,), 1e-39, dtype=torch.float32) * 0.5 == 0).all())


def _used() -> dict[str, str]:
    return {"device": " and ".join(USED)} if USED else {}


def _used_gpus() -> set[str]:
    return {name for device, _, name in (said.partition(", ") for said in USED) if device.startswith("cuda")}


def _cuda() -> dict[str, str]:
    """Of GPUs, where this process uses any."""
    if not (torch.cuda.is_available() and torch.cuda.is_initialized()):  # type: ignore[no-untyped-call]  # torch's
        return {}
    cudnn = torch.backends.cudnn
    names = _used_gpus() or {torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())}
    return {
        "GPU": ", ".join(sorted(names)),
        "CUDA": f"{torch.version.cuda}, cuDNN {cudnn.version()}",  # type: ignore[no-untyped-call]  # torch's
        "cuDNN": f"benchmark {cudnn.benchmark}, deterministic {cudnn.deterministic}, TF32 {cudnn.allow_tf32}",
        "workspace": os.environ.get("CUBLAS_WORKSPACE_CONFIG", "cuBLAS's own"),
    }


@lru_cache(maxsize=8)
def _bits(names: tuple[tuple[str, str], ...], flushing: bool) -> str:  # noqa: ARG001, FBT001 - what the bits follow
    """Hex digits of what matrix products, convolutions, sums and functions give, on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]), torch.no_grad():
            digest = hashlib.sha256()
            for result in _program():
                digest.update(result.contiguous().numpy().tobytes())
    finally:
        torch.set_num_threads(threads)
    return digest.hexdigest()[:8]


def _program() -> list[Tensor]:
    """Operations of a small training, on numbers that no generator draws."""
    x = ((torch.arange(96 * 67, dtype=torch.int64) * 7919 % 10007) / 5003.5 - 1).float().view(96, 67)
    product = x @ x.T
    images = x[:, :64].reshape(6, 16, 8, 8)
    return [
        product,
        torch.mv(x, x[0]),
        (x.double() @ x.double().T)[:8],
        torch.bmm(x.view(8, 12, 67), x.view(8, 12, 67).transpose(1, 2)),
        torch.nn.functional.conv2d(images, images[:4, :, :3, :3], padding=1),
        product.softmax(-1),
        torch.stack([x.exp(), x.tanh(), x.sin(), x.sigmoid(), x.abs().add(0.1).log(), x.square().add(1e-3).rsqrt()]),
        torch.stack([x.sum(), x.mean(), x.var(), x.norm()]),
        torch.nn.functional.layer_norm(x, (67,)),
        x * 1e-37 * 0.01,
    ]


def text(kind: Kind) -> str:
    """A kind as one line.

    >>> text({"vectors": "AVX2", "bits": "93c0a1f2"})
    'bits: 93c0a1f2; vectors: AVX2'
    """
    return "; ".join(f"{name}: {kind[name]}" for name in sorted(kind))


def read(line: str) -> dict[str, str]:
    """The kind that `text` wrote.

    >>> read("bits: 93c0a1f2; matmul precision: highest")["matmul precision"]
    'highest'
    """
    return {name: value for name, _, value in (part.partition(": ") for part in line.split("; "))}


def differing(there: Kind, now: Kind) -> list[str]:
    """What differs, a text each; `bits` only where no name says more.

    >>> differing({"vectors": "AVX512", "bits": "1"}, {"vectors": "AVX2", "bits": "2"})
    ['vectors AVX512 then, AVX2 now']
    """
    names = sorted(name for name in {*there, *now} if there.get(name) != now.get(name))
    return [
        f"{name} {there.get(name, 'not known')} then, {now.get(name, 'not known')} now"
        for name in names
        if name != "bits" or len(names) == 1
    ]
