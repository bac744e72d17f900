"""PatchGAN discriminator (Isola et al. 2017) and the adversarial terms of the autoencoder (Esser et al. 2021)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ldmlab.autoencoders.batch_norm import BatchNorm
from ldmlab.precision import at_least_fp32
from ldmlab.reduction import mean_over_ranks


class PatchDiscriminator(nn.Module):
    """A strided convolutional network that judges overlapping patches.

    Args:
        channels: features after the first convolution; doubled at each layer, at most eightfold.
        layers: strided layers, each halving the grid.
    """

    def __init__(self, channels: int = 64, layers: int = 3) -> None:
        super().__init__()
        modules: list[nn.Module] = [nn.Conv2d(3, channels, 4, stride=2, padding=1), nn.LeakyReLU(0.2)]
        features = channels
        for layer in range(1, layers + 1):
            out = channels * min(2**layer, 8)
            stride = 2 if layer < layers else 1
            modules += [
                nn.Conv2d(features, out, 4, stride=stride, padding=1, bias=False),
                BatchNorm(out),
                nn.LeakyReLU(0.2),
            ]
            features = out
        self.layers = nn.Sequential(*modules, nn.Conv2d(features, 1, 4, padding=1))
        self.apply(_initialise)

    def forward(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 1 h w"]:
        """Logits for each patch, in fp32 at least as the losses that are made of them: high for real."""
        return at_least_fp32(self.layers(images))


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def hinge_loss(real: Float[Tensor, "B 1 h w"], fake: Float[Tensor, "B 1 h w"]) -> Float[Tensor, ""]:
    """The discriminator's loss: real logits above 1, fake logits below -1."""
    return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + fake).mean())


def adaptive_weight(
    reconstruction: Float[Tensor, ""], adversarial: Float[Tensor, ""], last_layer: Tensor, scale: Tensor | float = 1.0
) -> Float[Tensor, ""]:
    """|grad reconstruction| / (|grad adversarial| + 1e-4) at the decoder's last layer, at most 1e4 (Esser, eq. 7).

    Args:
        reconstruction: the reconstruction loss, with its graph.
        adversarial: the adversarial loss of the autoencoder, with its graph.
        last_layer: the weight at which their gradients are compared.
        scale: of both losses while their gradients are taken, which fp16 would round to 0 otherwise. Where they
            overflow, the weight is 0.
    """
    reconstruction_norm, adversarial_norm = (
        mean_over_ranks(torch.autograd.grad(scale * loss, last_layer, retain_graph=True)[0]).norm() / scale
        for loss in (reconstruction, adversarial)
    )
    weight = reconstruction_norm / (adversarial_norm + 1e-4)
    return weight.nan_to_num(nan=0.0, posinf=0.0).clamp(0.0, 1e4).detach()
