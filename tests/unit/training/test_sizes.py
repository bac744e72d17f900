"""Pictures of several sizes: what a model takes is trained on, and what it does not take is refused before."""

from __future__ import annotations

from collections.abc import Callable

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.data.order.bucket_sizes import bucket_sizes
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.sizes import fit_sizes

SIZES = ((16, 16), (8, 24), (24, 16))


class Listed:
    """Data with buckets that a user has listed."""

    multiple = 1

    def __init__(self, sizes: tuple[tuple[int, int], ...] | None) -> None:
        self.sizes = sizes


class Automatic(Listed):
    """Data that choose their buckets."""

    image_size = 64
    sizes = property(lambda self: bucket_sizes("auto", self.image_size, self.multiple))  # type: ignore[assignment]

    def __init__(self) -> None:
        """Nothing is listed."""


class OfOneGrid(nn.Module):
    """A block with something of its own for each of four tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4, 16))

    def forward(self, x: Tensor, inputs: BlockInputs) -> Tensor:
        return x + self.bias


@pytest.mark.parametrize("kind", [pytest.param("autoencoder", marks=pytest.mark.slow), "diffusion"])
def test_batches_of_several_sizes_are_trained_on(
    kind: str,
    autoencoder_training: Callable[..., AutoencoderTraining],
    diffusion_training: Callable[..., LatentDiffusionTraining],
    fit: Callable[..., L.Trainer],
) -> None:
    training = diffusion_training() if kind == "diffusion" else autoencoder_training(discriminator_start=0)
    fit_sizes(training, Listed(SIZES))
    captions = ["a red star", "a blue circle"]
    batches = [{"images": torch.rand(2, 3, *size) * 2 - 1, "captions": captions} for size in SIZES]
    before = [parameter.detach().clone() for parameter in training.parameters() if parameter.requires_grad]
    trainer = fit(training, batches, validation=batches)
    after = [parameter.detach() for parameter in training.parameters() if parameter.requires_grad]
    assert trainer.global_step == len(SIZES)
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(value.isfinite() for value in trainer.callback_metrics.values())


@pytest.mark.parametrize(
    ("size", "why"),
    [((12, 20), "DiT takes latents of shape"), ((16, 18), "the autoencoder's factor 4 does not divide both sides")],
)
def test_sizes_that_do_not_divide_are_refused(
    size: tuple[int, int], why: str, diffusion_training: Callable[..., LatentDiffusionTraining]
) -> None:
    shown = rf"\[{size[0]}, {size[1]}\]"
    with pytest.raises(ValueError, match=rf"data.buckets: the model takes no pictures of {shown}: {why}"):
        fit_sizes(diffusion_training(), Listed((*SIZES, size)))


def test_a_backbone_of_one_grid_is_refused_in_one_line(
    diffusion_training: Callable[..., LatentDiffusionTraining],
) -> None:
    training = diffusion_training()
    training.model.denoiser.backbone.blocks[0] = OfOneGrid()  # type: ignore[operator, index]
    fit_sizes(training, Listed(SIZES[:1]))
    with pytest.raises(ValueError, match=r"data.buckets: the model takes no pictures of \[8, 24\]: .+") as refusal:
        fit_sizes(training, Listed(SIZES))
    assert "\n" not in str(refusal.value)
    with pytest.raises(ValueError, match=r"data.buckets: the model takes no pictures of \[32, 128\]: .+"):
        fit_sizes(training, Automatic())


def test_automatic_sizes_are_what_the_model_takes(
    autoencoder_training: Callable[..., AutoencoderTraining],
    diffusion_training: Callable[..., LatentDiffusionTraining],
) -> None:
    data = Automatic()
    fit_sizes(autoencoder_training(), data)
    assert data.sizes[1] == (40, 96), "multiples of the factor 4 at least"
    training = diffusion_training()
    training.model.denoiser.backbone.patch = 4  # type: ignore[assignment]
    training.model.denoiser.backbone.patch_embedding = nn.Conv2d(4, 16, 4, 4)
    training.model.denoiser.backbone.final = nn.Linear(16, 4 * 4 * 4)
    data = Automatic()
    fit_sizes(training, data)
    assert data.sizes == ((32, 128), (48, 80), (64, 64), (80, 48), (128, 32)), "4 pixels a latent, 4 latents a token"


def test_squares_are_left_alone(autoencoder_training: Callable[..., AutoencoderTraining]) -> None:
    fit_sizes(autoencoder_training(), Listed(None))
