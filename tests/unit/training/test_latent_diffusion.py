"""What one step of latent diffusion trains on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import Tensor

from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Make = Callable[..., LatentDiffusionTraining]


class Always:
    """Draws one timestep."""

    def __init__(self, timestep: int) -> None:
        self.timestep = timestep

    def draw(self, count: int, timesteps: int, device: torch.device, generator: Any = None) -> Tensor:
        return torch.full((count,), self.timestep, device=device)


@pytest.fixture
def trained_timesteps(
    diffusion_training: Make,
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    monkeypatch: pytest.MonkeyPatch,
) -> Callable[..., dict[bool, list[Tensor]]]:
    """(module's settings) -> the timesteps of two training steps (True) and of a validation (False)."""

    def run(**settings: Any) -> dict[bool, list[Tensor]]:
        module = diffusion_training(**settings)
        seen: dict[bool, list[Tensor]] = {True: [], False: []}
        loss = module.model.denoiser.loss

        def recorded(latents: Tensor, noise: Tensor, timesteps: Tensor, cond: Any) -> Tensor:
            seen[module.trainer.training].append(timesteps)
            return loss(latents, noise, timesteps, cond)

        monkeypatch.setattr(module.model.denoiser, "loss", recorded)
        fit(module, batches(2), validation=batches(1))
        return seen

    return run


def test_training_is_at_the_timesteps_that_its_distribution_draws(trained_timesteps: Callable[..., Any]) -> None:
    seen = trained_timesteps(timestep_sampling=Always(700))
    assert torch.cat(seen[True]).tolist() == [700] * 16


def test_validation_is_uniform_whatever_training_draws(trained_timesteps: Callable[..., Any]) -> None:
    one, other = (trained_timesteps(timestep_sampling=Always(t))[False][0] for t in (0, 700))
    assert torch.equal(one, other)
    assert len(one.unique()) > 4


def test_training_is_uniform_by_default(trained_timesteps: Callable[..., Any]) -> None:
    assert len(torch.cat(trained_timesteps()[True]).unique()) > 8


@pytest.mark.parametrize("cached", [False, True])
def test_a_conditioner_of_pictures_is_completed_trained_and_validated_alike(
    cached: bool, diffusion_training: Make, batches: Callable[..., Any], fit: Callable[..., L.Trainer]
) -> None:
    """Masks are drawn anew in every step, and the same at every validation."""
    conditioner = Inpainting()
    module, seen = diffusion_training(conditioner), []
    data, held = batches(2), batches(1)
    if cached:
        for batch in data:
            batch["moments"] = torch.cat(module.model.autoencoder.moments(batch["images"]), dim=1).detach()
    concat = conditioner.concat

    def recorded(batch: Any) -> Tensor:
        seen.append((module.trainer.training, batch["masks"]))
        return concat(batch)

    conditioner.concat = recorded  # type: ignore[method-assign]
    fit(module, data, validation=held, val_check_interval=1)
    training = [masks for is_training, masks in seen if is_training]
    validation = [masks for is_training, masks in seen if not is_training]
    assert (len(training), len(validation)) == (2, 2)
    assert not torch.equal(*training)
    assert torch.equal(*validation)
    assert all(parameter.grad is None for parameter in module.model.autoencoder.parameters())


def test_blocks_are_checkpointed_where_that_is_asked_for(diffusion_training: Make) -> None:
    assert not diffusion_training().model.denoiser.backbone.checkpointing
    module = diffusion_training(activation_checkpointing=True)
    assert module.model.denoiser.backbone.checkpointing
    model = module.model
    model.denoiser.backbone = torch.nn.Identity()
    with pytest.raises(ValueError, match=r"^training\.activation_checkpointing=true: Identity has no blocks"):
        LatentDiffusionTraining(model, torch.optim.Adam, activation_checkpointing=True)
