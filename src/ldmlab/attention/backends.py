"""The backends of attention by name, and which of them `auto` is."""

from __future__ import annotations

import logging
from functools import cache

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend

from ldmlab.attention.formula import Backend as Backend
from ldmlab.attention.formula import Mask as Mask
from ldmlab.attention.formula import attention_probs as attention_probs
from ldmlab.attention.formula import explicit, sdpa
from ldmlab.attention.kernels import kernel_or_other, single_kernel
from ldmlab.attention.measured import MEASURED, FastestBackend, Measurement
from ldmlab.attention.memory_efficient import xformers
from ldmlab.attention.xformers_library import is_ready, memory_efficient_attention, require_installed

KERNELS = {
    "sdpa_flash": SDPBackend.FLASH_ATTENTION,
    "sdpa_cudnn": SDPBackend.CUDNN_ATTENTION,
    "sdpa_efficient": SDPBackend.EFFICIENT_ATTENTION,
}
BACKENDS: dict[str, Backend] = {
    "sdpa": sdpa,
    "xformers": xformers,
    "explicit": explicit,
    **{name: single_kernel(kernel, name) for name, kernel in KERNELS.items()},
}

log = logging.getLogger(__name__)


@cache
def resolve_backend(name: str) -> Backend:
    """Return the backend of that name. "auto" is the fastest by shape on a GPU that was measured, else sdpa.

    Raises:
        ValueError: the name is unknown, or its package is missing. There is no silent fallback.
    """
    if name == "auto":
        return _auto()
    if name not in BACKENDS:
        raise ValueError(f"unknown attention backend '{name}'; choose one of auto, {', '.join(BACKENDS)}")
    if name == "xformers":
        require_installed()
        if torch.cuda.is_available():
            memory_efficient_attention()
    return BACKENDS[name]


def _auto() -> Backend:
    capability = torch.cuda.get_device_capability() if torch.cuda.is_available() else None
    rows = tuple(row for row in MEASURED if row.capability == capability)
    if not rows:
        log.info("attention=auto: using sdpa")
        return sdpa
    log.info("attention=auto: using the fastest by shape, as measured on %s", rows[0].device)
    return fastest_by_shape(rows)


def fastest_by_shape(rows: tuple[Measurement, ...], device: str = "cuda") -> Backend:
    """A backend that runs the one that was fastest where the most similar shape was measured.

    Args:
        rows: on one type of GPU.
        device: the type of device that they speak for; on others it is sdpa.
    """
    backends = {
        "sdpa": sdpa,
        "xformers": xformers,
        **{name: kernel_or_other(kernel) for name, kernel in KERNELS.items()},
    }
    asked = any("xformers" in row.milliseconds for row in rows)
    fastest = FastestBackend(rows, without=("xformers",) if asked and not is_ready() else ())

    def auto(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> Tensor:
        name = fastest(q, k, mask) if q.device.type == device else "sdpa"
        return backends[name](q, k, v, mask)

    return auto
