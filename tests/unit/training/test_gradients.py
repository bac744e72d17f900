from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning as L
import pytest
import torch
from torch import nn

from ldmlab.training.callbacks.progress import _shown
from ldmlab.training.gradients import gradient_norm
from ldmlab.training.precision import Mixed


def with_gradient(values: list[float], dtype: torch.dtype = torch.float32) -> nn.Parameter:
    parameter = nn.Parameter(torch.zeros(len(values), dtype=dtype))
    parameter.grad = torch.tensor(values, dtype=dtype)
    return parameter


def test_the_norm_is_that_of_all_gradients_as_one_vector() -> None:
    parameters = [with_gradient([3.0, 0.0]), with_gradient([4.0, 12.0], torch.bfloat16), nn.Parameter(torch.ones(2))]
    norm = gradient_norm(parameters)
    assert norm.dtype == torch.float32
    assert float(norm) == pytest.approx(13.0, rel=2**-8)  # that of a tensor in bf16 is rounded
    assert float(gradient_norm([])) == 0


@pytest.mark.parametrize("kind", ["autoencoder_training", "diffusion_training"])
def test_it_is_logged_as_it_is_before_scaling_and_clipping(
    kind: str, request: pytest.FixtureRequest, batches: Callable[..., Any], fit: Callable[..., L.Trainer]
) -> None:
    """A scale and a small limit change what is stepped on, and not what is told."""
    norms = []
    for scale, limit in ((1.0, None), (64.0, 1e-3)):
        is_diffusion = kind == "diffusion_training"
        module = request.getfixturevalue(kind)(**({} if is_diffusion else {"gradient_clip": limit}))
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
        plugin = Mixed("16-mixed", "cpu", scaler)
        plugin.autocast_context_manager = lambda: torch.autocast("cpu", enabled=False)  # type: ignore[method-assign]
        torch.manual_seed(1)
        limits = {"gradient_clip_val": limit} if is_diffusion else {}
        trainer = fit(module, batches(1), plugins=[plugin], **limits)
        norms.append(float(trainer.logged_metrics["train/gradient_norm"]))
        assert any("train/gradient_norm" in shown for shown in _shown(trainer))
    assert norms[0] > 0
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)
