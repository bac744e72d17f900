"""The bound of held-out latents as a mean over them, with its standard error."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.likelihood import bits_per_dim
from ldmlab.diffusion.parameterizations import Epsilon
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.metrics.bound import VariationalBound
from ldmlab.samplers.ddpm import DDPM
from ldmlab.types import Conditioning


class Halved(nn.Module):
    """A backbone that needs no weights."""

    def forward(self, x: Tensor, *_: Any) -> Tensor:
        return x / 2


def test_means_and_errors_are_over_latents() -> None:
    denoiser = Denoiser(Halved(), scaled_linear(), Epsilon())
    batches = [torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(count)) for count in (5, 3)]
    metric, values = VariationalBound(steps=3), []
    for latents in batches:
        draws = (torch.Generator().manual_seed(len(latents)) for _ in range(2))
        first, second = (partial(torch.randn, latents.shape, generator=each) for each in draws)
        metric.update(denoiser, latents, Conditioning(), first)
        values.append(
            bits_per_dim(denoiser, latents, Conditioning(), DDPM(3, "linspace").levels(denoiser.schedule), second)
        )
    figures, errors = metric.compute(), metric.errors()
    assert (
        figures.keys() == errors.keys() == {f"bits_per_dim/{name}" for name in ("fixed_small", "fixed_large", "prior")}
    )
    for name in ("fixed_small", "fixed_large", "prior"):
        every = torch.cat([each[name] for each in values]).double()
        assert figures[f"bits_per_dim/{name}"] == pytest.approx(float(every.mean()))
        assert errors[f"bits_per_dim/{name}"] == pytest.approx(float(every.std()) / 8**0.5)
