"""PyTorch's fused kernels one by one.

Shapes: B batch, h heads, N queries, M keys, d head width.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.backends import cuda
from torch.nn.attention import SDPBackend, sdpa_kernel

from ldmlab.attention.formula import Backend, Mask, sdpa

NO_KERNEL = ("No available kernel", "No viable backend")
"""What PyTorch says where the one kernel that it may use cannot run."""

FITS = {
    SDPBackend.FLASH_ATTENTION: cuda.can_use_flash_attention,
    SDPBackend.CUDNN_ATTENTION: cuda.can_use_cudnn_attention,
    SDPBackend.EFFICIENT_ATTENTION: cuda.can_use_efficient_attention,
}


def single_kernel(kernel: SDPBackend, name: str) -> Backend:
    """A backend that runs one kernel of PyTorch's and no other.

    Args:
        kernel: which.
        name: the backend's, for what is said where it cannot run.
    """

    def attend(
        q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
    ) -> Float[Tensor, "B h N d"]:
        """ValueError where the kernel cannot run."""
        try:
            with sdpa_kernel(kernel):
                return sdpa(q, k, v, mask)
        except RuntimeError as error:
            if not str(error).startswith(NO_KERNEL):
                raise
            raise no_kernel_error(name, q, mask, _reasons(kernel, q, k, v, mask)) from error

    return attend


def kernel_or_other(kernel: SDPBackend, then: Sequence[SDPBackend] = (*FITS, SDPBackend.MATH)) -> Backend:
    """A backend that runs one kernel of PyTorch's or, where it cannot run, the first of others that can."""
    order = [kernel, *(other for other in then if other is not kernel)]

    def attend(
        q: Float[Tensor, "B h N d"], k: Float[Tensor, "B h M d"], v: Float[Tensor, "B h M d"], mask: Mask
    ) -> Float[Tensor, "B h N d"]:
        with sdpa_kernel(order, set_priority=True):
            return sdpa(q, k, v, mask)

    return attend


def no_kernel_error(name: str, q: Tensor, mask: Mask, reasons: str) -> ValueError:
    """The one line for a backend that has no kernel for what it is given."""
    device = torch.cuda.get_device_name(q.device) if q.is_cuda else f"device '{q.device.type}'"
    what = f"{str(q.dtype).removeprefix('torch.')}, heads of width {q.shape[-1]}{'' if mask is None else ', a mask'}"
    because = f" ({reasons})" if reasons else ""
    return ValueError(f"attention backend '{name}' has no kernel for {device} with {what}{because}; use attention=sdpa")


def _reasons(kernel: SDPBackend, q: Tensor, k: Tensor, v: Tensor, mask: Mask) -> str:
    """PyTorch tells them as warnings; those of a CPU, which has but one kernel, are no use."""
    if not q.is_cuda:
        return ""
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        FITS[kernel](cuda.SDPAParams(q, k, v, mask, 0.0, False, False), debug=True)
    return " ".join(str(warning.message).split(" (Triggered")[0] for warning in warned)
