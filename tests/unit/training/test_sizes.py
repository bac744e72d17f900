"""Pictures of several sizes: what a model takes is trained on, and what it does not take is refused before."""

from __future__ import annotations

from collections.abc import Callable

import lightning as L
import pytest
import torch
from torch import Tensor, nn

from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.training.sizes import require_sizes

SIZES = ((16, 16), (8, 24), (24, 16))


class OfOneGrid(nn.Module):
    """A block with something of its own for each of four tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(4, 16))

    def forward(self, x: Tensor, inputs: BlockInputs) -> Tensor:
        return x + self.bias


@pytest.mark.parametrize("kind", ["autoencoder", "diffusion"])
def test_batches_of_several_sizes_are_trained_on(
    kind: str,
    autoencoder_training: Callable[..., AutoencoderTraining],
    diffusion_training: Callable[..., LatentDiffusionTraining],
    fit: Callable[..., L.Trainer],
) -> None:
    training = diffusion_training() if kind == "diffusion" else autoencoder_training(discriminator_start=0)
    require_sizes(training, SIZES)
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
        require_sizes(diffusion_training(), (*SIZES, size))


def test_a_backbone_of_one_grid_is_refused_in_one_line(
    diffusion_training: Callable[..., LatentDiffusionTraining],
) -> None:
    training = diffusion_training()
    training.model.denoiser.backbone.blocks[0] = OfOneGrid()  # type: ignore[operator, index]
    require_sizes(training, SIZES[:1])
    with pytest.raises(ValueError, match=r"data.buckets: the model takes no pictures of \[8, 24\]: .+") as refusal:
        require_sizes(training, SIZES)
    assert "\n" not in str(refusal.value)
