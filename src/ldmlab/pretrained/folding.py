"""Frozen networks without their batch norms, which is what they compute anyway, in fewer passes over memory."""

from __future__ import annotations

from itertools import pairwise

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


def fold_batch_norms(network: nn.Module) -> None:
    """Fold each batch norm into the convolution right before it, in place.

    A frozen batch norm scales and shifts each channel, which weights and bias of the convolution can do. What comes out
    stays the same to rounding, and an activation that belongs to a norm (timm's `BatchNormAct2d`) stays in its place.

    Args:
        network: in evaluation mode; a batch norm that a module lists right after a convolution reads what that gives.
    """
    for module in [*network.modules()]:
        for (name, convolution), (after, norm) in pairwise([*module.named_children()]):
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, name, fuse_conv_bn_eval(convolution, norm))
                setattr(module, after, getattr(norm, "act", nn.Identity()))
