"""Training with compiled networks, by a backend that counts programs and runs them as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from ldmlab.compiling import compile_networks
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Fit = Callable[..., L.Trainer]


class Counter:
    def __init__(self) -> None:
        self.programs = 0

    def __call__(self, graph: Any, inputs: Any) -> Callable[..., Any]:
        self.programs += 1
        return graph.forward


@pytest.fixture
def counter() -> Counter:
    torch._dynamo.reset()
    return Counter()


def trained(module: L.LightningModule, fit: Fit, batches: Callable[..., Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    fit(module, batches(2), validation=batches(1))
    return {name: value.clone() for name, value in module.state_dict().items() if value.is_floating_point()}


def assert_same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5, msg=name)


def test_a_diffusion_model_trains_the_same_with_programs_for_training_and_validation(
    diffusion_training: Callable[..., LatentDiffusionTraining], batches: Callable[..., Any], fit: Fit, counter: Counter
) -> None:
    plain = trained(diffusion_training(), fit, batches)
    module = diffusion_training()
    compile_networks([module.model.denoiser.backbone], counter)
    assert_same(trained(module, fit, batches), plain)
    assert counter.programs == 2


def test_an_autoencoder_trains_the_same_against_a_discriminator(
    autoencoder_training: Callable[..., AutoencoderTraining], batches: Callable[..., Any], fit: Fit, counter: Counter
) -> None:
    """Whose weight asks for gradients of the last layer alone, twice."""
    plain = trained(autoencoder_training(discriminator_start=0), fit, batches)
    module = autoencoder_training(discriminator_start=0)
    compile_networks([module.autoencoder], counter)
    assert_same(trained(module, fit, batches), plain)
    assert counter.programs == 4
    last: nn.Module = module.autoencoder.decoder.to_images
    assert last._compiled_call_impl is None
