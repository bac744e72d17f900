"""The autoencoder of a size: its factor, and what cannot be divided."""

import pytest
import torch

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.kl_by_size import kl_by_size
from ldmlab.models.component import build_component

TARGET = {"_target_": "ldmlab.autoencoders.kl_by_size.kl_by_size", "channels": 8, "residual_blocks": 1}


@pytest.mark.parametrize(
    ("size", "factor", "channels"),
    [(32, 4, 3), (64, 4, 3), (128, 4, 3), (136, 8, 4), (256, 8, 4), (512, 8, 4), (1024, 16, 16)],
)
def test_the_factor_follows_from_the_size(size: int, factor: int, channels: int) -> None:
    with torch.device("meta"):
        made = build_component({**TARGET, "image_size": size, "norm_groups": 4}, Autoencoder, "autoencoder")
    assert isinstance(made, AutoencoderKL)
    assert (made.factor, made.latent_channels) == (factor, channels)


def test_it_is_latent_diffusions_own_at_its_width() -> None:
    with torch.device("meta"):
        ours, theirs = kl_by_size(256, channels=128), AutoencoderKL()
    assert {n: p.shape for n, p in ours.state_dict().items()} == {n: p.shape for n, p in theirs.state_dict().items()}


@pytest.mark.parametrize(("size", "fix"), [(66, "multiple of 4"), (300, "multiple of 8"), (0, "1 to 4096")])
def test_a_size_that_does_not_fit_is_refused(size: int, fix: str) -> None:
    with pytest.raises(ValueError, match=rf"data\.image_size={size}: .*{fix}"):
        kl_by_size(size)
