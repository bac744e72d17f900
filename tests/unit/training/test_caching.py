"""What a run may cache, and what it hands to its data for that."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.clip import CLIPText
from ldmlab.conditioners.colorization import Colorization
from ldmlab.data.datamodule import ShardDataModule
from ldmlab.data.latents.caching import Caching
from ldmlab.data.latents.options import LatentOptions
from ldmlab.ranks import ALONE
from ldmlab.training.caching import cache_latents, require_what_can_be_kept


class Autoencoder(nn.Linear):
    """What caching knows of one."""

    latent_channels, factor = 4, 8

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return images, images


def clip(**options: Any) -> CLIPText:
    torch.manual_seed(0)
    return CLIPText(width=16, depth=1, heads=2, length=8, **options)


def model(conditioner: nn.Module) -> Any:
    return SimpleNamespace(conditioner=conditioner, autoencoder=Autoencoder(1, 1))


def handed(conditioner: nn.Module, **options: Any) -> Caching:
    given: list[Caching] = []
    data: Any = SimpleNamespace(use_latents=given.append)
    cache_latents(data, model(conditioner), LatentOptions(**options), Path("run"), torch.device("cpu"), ALONE)
    return given[0]


def test_text_is_kept_of_frozen_encoders_alone() -> None:
    data: Any = ShardDataModule("nowhere", 1, 8)
    require_what_can_be_kept(data, model(Colorization(clip())), LatentOptions(text=True))
    for conditioner in (ClassLabel(3, 8), Colorization()):
        with pytest.raises(ValueError, match=r"latents\.text=true: \w+ is no frozen text encoder"):
            require_what_can_be_kept(data, model(conditioner), LatentOptions(text=True))


def test_a_stream_is_not_cached() -> None:
    stream: Any = object()
    require_what_can_be_kept(stream, model(Colorization()), LatentOptions())
    with pytest.raises(ValueError, match="latents: a stream is not cached"):
        require_what_can_be_kept(stream, model(Colorization()), LatentOptions(rebuild=True))


def test_what_is_handed_over() -> None:
    caching = handed(clip())
    assert (caching.text, caching.keep_images, caching.spare) == (None, False, Path("run"))
    assert caching.encoder[1:3] == (4, 8)
    conditioner = clip(pooled=True)
    caching = handed(conditioner, text=True)
    assert caching.text is not None
    assert caching.text.shapes == {"context": (8, 16), "vector": (16,)}
    assert {name: tuple(tensor.shape) for name, tensor in caching.text.features(["a", "b"]).items()} == {
        "context": (2, 8, 16), "vector": (2, 16),
    }  # fmt: skip
    assert handed(conditioner, text=True).text.fingerprint == caching.text.fingerprint  # type: ignore[union-attr]
    for other in (clip(), clip(pooled=True, padding="zero")):
        assert handed(other, text=True).text.fingerprint != caching.text.fingerprint  # type: ignore[union-attr]
