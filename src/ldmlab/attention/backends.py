"""Scaled dot-product attention softmax(q k^T / sqrt(d)) v, three ways with one signature.

Shapes: B batch, h heads, N queries, M keys, d head width. A mask is boolean, True where a key may be attended to.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Callable
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

Mask = Bool[Tensor, "#B #h #N M"] | None
Backend = Callable[[Tensor, Tensor, Tensor, Mask], Tensor]

log = logging.getLogger(__name__)


def attention_probs(q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], mask: Mask) -> Float[Tensor, "B h N M"]:
    """softmax over M of q k^T / sqrt(d) (Vaswani et al. 2017, eq. 1), masked keys at exactly 0."""
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=-1)


def explicit(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """The formula as written, with the probabilities in memory."""
    return attention_probs(q, k, mask) @ v


def sdpa(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """PyTorch's fused kernels."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask)


def xformers(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """xFormers' memory-efficient attention; CUDA only."""
    if not q.is_cuda:
        raise ValueError(
            f"attention backend 'xformers' has no kernel for device '{q.device.type}'; use attention=sdpa or a GPU"
        )
    from xformers.ops import memory_efficient_attention

    bias = None
    if mask is not None:
        shape = (*q.shape[:3], k.shape[2])
        bias = _aligned_bias(torch.where(mask, 0.0, -torch.inf).to(q.dtype).expand(shape))
    try:
        out = memory_efficient_attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), attn_bias=bias)
    except NotImplementedError as error:
        raise ValueError(
            "attention backend 'xformers' has no kernel for this GPU in this installation; "
            "use attention=sdpa, or an xformers built for the installed torch"
        ) from error
    return out.transpose(1, 2)


def _aligned_bias(bias: Tensor) -> Tensor:
    """xFormers reads the bias in rows of 8: back it by memory that is padded so, and view the part in use."""
    keys = bias.shape[-1]
    return F.pad(bias, (0, -keys % 8))[..., :keys]


BACKENDS: dict[str, Backend] = {"sdpa": sdpa, "xformers": xformers, "explicit": explicit}


@cache
def resolve_backend(name: str) -> Backend:
    """Return the backend of that name; "auto" is sdpa, and says so in the log.

    Raises:
        ValueError: the name is unknown, or its package is missing. There is no silent fallback.
    """
    if name == "auto":
        log.info("attention=auto: using sdpa")
        return sdpa
    if name not in BACKENDS:
        raise ValueError(f"unknown attention backend '{name}'; choose one of auto, {', '.join(BACKENDS)}")
    if name == "xformers" and importlib.util.find_spec("xformers") is None:
        raise ValueError("attention backend 'xformers' is not installed; pip install xformers, or use attention=sdpa")
    return BACKENDS[name]
