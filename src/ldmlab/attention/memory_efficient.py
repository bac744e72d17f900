"""Attention by xFormers.

Shapes: B batch, h heads, N queries, M keys, d head width.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.attention import SDPBackend

from ldmlab.attention.formula import Mask
from ldmlab.attention.kernels import kernel_or_other, no_kernel_error
from ldmlab.attention.xformers_library import memory_efficient_attention

DTYPES = (torch.float16, torch.bfloat16, torch.float32)
ROW = 8
"""Values that the kernels read at once: head widths, and rows of the bias in memory, are multiples of it."""


def xformers(
    q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
) -> Float[Tensor, "B h N d"]:
    """xFormers' memory-efficient attention, on CUDA devices, in fp16, bf16 and fp32, with heads of any width.

    Raises:
        ValueError: there is no kernel for these tensors, or xFormers cannot be loaded; the line says why.
    """
    if not q.is_cuda:
        raise ValueError(
            f"attention backend 'xformers' has no kernel for device '{q.device.type}'; use attention=sdpa or a GPU"
        )
    q, k, v = _of_one_dtype(q, k, v)
    if q.dtype not in DTYPES:
        raise no_kernel_error("xformers", q, mask, "it has float16, bfloat16 and float32")
    if torch.compiler.is_compiling() and _has_untraceable_gradients(q, k, v, mask):
        return _same_kernel(q, k, v, mask)
    try:
        return attend_by(memory_efficient_attention(), q, k, v, mask)
    except NotImplementedError as error:
        raise no_kernel_error("xformers", q, mask, _reasons(error)) from error


_same_kernel = kernel_or_other(SDPBackend.EFFICIENT_ATTENTION, [SDPBackend.MATH])
"""What xFormers calls too where there is a mask or fp32, `aten::_efficient_attention_forward`, by PyTorch's own way."""


def _has_untraceable_gradients(q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> bool:
    """Whether `torch.compile` would have to leave its graph.

    PyTorch's description of `aten::_efficient_attention_backward` for tensors without data lacks an argument (2.11 and
    2.14), so that xFormers' call of that kernel cannot be traced.
    """
    learns = torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)
    return learns and (mask is not None or q.dtype == torch.float32)


def attend_by(
    attention: Callable[..., Tensor],
    q: Float[Tensor, "B h N d"],
    k: Float[Tensor, "B h M d"],
    v: Float[Tensor, "B h M d"],
    mask: Mask,
) -> Float[Tensor, "B h N d"]:
    """Call xFormers' function as it wants to be called: tokens before heads, rows of 8, a bias in place of a mask."""
    width, shape = q.shape[-1], (*q.shape[:3], k.shape[2])
    bias = None if mask is None else _bias(mask, q.dtype).expand(shape)
    out = attention(*map(_laid_out, (q, k, v)), attn_bias=bias, scale=width**-0.5)
    return out[..., :width].transpose(1, 2)


def _of_one_dtype(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As PyTorch's own attention does it: under autocast all are of its dtype."""
    if not torch.is_autocast_enabled("cuda"):
        return q, k, v
    dtype = torch.get_autocast_dtype("cuda")
    return q.to(dtype), k.to(dtype), v.to(dtype)


def _laid_out(x: Float[Tensor, "B h N d"]) -> Float[Tensor, "B N h D"]:
    """With zeros up to a multiple of 8, which change no product and no sum."""
    missing = -x.shape[-1] % ROW
    return (F.pad(x, (0, missing)) if missing else x).transpose(1, 2)


def _bias(mask: Bool[Tensor, "#B #h #N M"], dtype: torch.dtype) -> Float[Tensor, "#B #h #N M"]:
    """0 where a key may be attended to, else minus infinity."""
    return _aligned_bias(torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, -torch.inf))


def _aligned_bias(bias: Tensor) -> Tensor:
    """Back the bias by memory whose rows are padded to multiples of 8, and view the part in use."""
    keys = bias.shape[-1]
    return F.pad(bias, (0, -keys % ROW))[..., :keys]


def _reasons(error: NotImplementedError) -> str:
    """Its message names each kernel with why it is not supported, over many lines; some are of other packages."""
    _, *reasons = re.split(r"`([^`]+)` is not supported because:", str(error))
    kernels = zip(reasons[::2], reasons[1::2], strict=True)
    lines = [(name, [line.strip() for line in why.splitlines() if line.strip()]) for name, why in kernels]
    return "; ".join(f"{name}: {', '.join(why)}" for name, why in lines if "wasn't built" not in why[-1])
