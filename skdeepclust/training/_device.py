"""From what a user writes to a torch device, and what is switched on for it while it trains."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from ._seed import SharedSetting


def resolve_device(device: str | torch.device) -> torch.device:
    """Return the torch device that ``device`` names.

    Parameters
    ----------
    device : str or torch.device
        "auto" is CUDA where there is a CUDA device, else the CPU; anything else is torch's word
        for a device: "cpu", "cuda", "cuda:1".

    Raises
    ------
    ValueError
        When torch does not know the device, this machine does not have it, or it is neither a CPU
        nor a CUDA device.
    """
    if isinstance(device, str) and device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device={device!r} is not a torch device; expected 'auto', 'cpu', 'cuda', 'cuda:1' "
            "or a torch.device"
        ) from error
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device={device!r} was asked for, but torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices here; use device='auto' or device='cpu'"
        )
    if found.type not in ("cpu", "cuda"):
        raise ValueError(
            f"device={device!r} is not supported; expected 'auto', 'cpu' or a CUDA device"
        )
    return found


def require_torch_defaults() -> None:
    """Refuse to build networks where torch has been told to make other tensors than float32 on the
    CPU, which they would be half made of."""
    if (dtype := torch.get_default_dtype()) != torch.float32:
        raise RuntimeError(
            f"torch.get_default_dtype() is {dtype}, but networks here are float32; call "
            "torch.set_default_dtype(torch.float32)"
        )
    if (place := torch.get_default_device()).type != "cpu":
        raise RuntimeError(
            f"torch.get_default_device() is {str(place)!r}, but networks here are built on the "
            "CPU; call torch.set_default_device('cpu') and use the parameter device"
        )


def sent(x: Tensor, device: torch.device) -> Tensor:
    """x of the CPU on the device, without waiting for what that still has to do.

    A plain ``to`` waits until a GPU has come to the copy, in every step anew. CUDA has read x
    before this returns, unless it is pinned.
    """
    return x.to(device, non_blocking=device.type == "cuda")


def computes_in_bfloat16(device: torch.device) -> bool:
    """Whether this is a CPU with units for products of matrices in bfloat16; others take longer
    for it than for float32, those with vector instructions for it (AVX-512) too: in trials on an
    Intel Xeon half as long again."""
    # Older versions of torch do not tell.
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    return device.type == "cpu" and capabilities.get("amx_bf16", False)


@contextmanager
def fast_matmul(device: torch.device) -> Iterator[None]:
    """Allow TF32 on CUDA for the duration, and leave torch's setting as it was."""
    if device.type != "cuda":
        yield
        return
    with _kept_precision.kept():
        setattr(MATMUL, PRECISION, TF32)
        yield


# Of CUDA's products alone: torch.set_float32_matmul_precision changes the CPU's too, and from torch
# 2.9 on refuses to tell what was set by the new name.
MATMUL = torch.backends.cuda.matmul
PRECISION, TF32 = (
    ("fp32_precision", "tf32") if hasattr(MATMUL, "fp32_precision") else ("allow_tf32", True)
)
_kept_precision = SharedSetting(
    lambda: getattr(MATMUL, PRECISION),
    lambda before: setattr(MATMUL, PRECISION, before),
    threading.Lock(),
)
