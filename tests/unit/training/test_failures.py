from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.training.failures import NonFiniteError, check_finite, check_finite_state


class LastGood(L.Callback):
    """Keeps the weights as they were after the last batch that ended well."""

    def __init__(self) -> None:
        self.weights: dict[str, torch.Tensor] = {}

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        self.weights = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_no_number_is_told_with_its_step(value: float) -> None:
    check_finite(torch.tensor(1.0), 3)
    with pytest.raises(NonFiniteError, match=f"loss became {value} at step 3; lower optimizer.lr"):
        check_finite(torch.tensor(value), 3)


@pytest.mark.parametrize("kind", ["autoencoder_training", "diffusion_training"])
def test_training_stops_before_the_weights_are_spoilt(
    kind: str, request: pytest.FixtureRequest, batches: Callable[..., Any], fit: Callable[..., L.Trainer]
) -> None:
    module, good, data = request.getfixturevalue(kind)(), LastGood(), batches(4)
    data[2]["images"] = data[2]["images"] * float("nan")
    with pytest.raises(NonFiniteError, match="at step 2"):
        fit(module, data, [good])
    assert good.weights
    for name, parameter in module.named_parameters():
        assert torch.equal(parameter, good.weights[name]), name


@pytest.mark.parametrize("kind", ["autoencoder_training", "diffusion_training"])
def test_spoilt_weights_never_replace_a_checkpoint(
    kind: str,
    request: pytest.FixtureRequest,
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    tmp_path: Path,
) -> None:
    module, path = request.getfixturevalue(kind)(), tmp_path / "a.ckpt"
    trainer = fit(module, batches(1))
    trainer.save_checkpoint(path, weights_only=False)
    good = path.read_bytes()
    with torch.no_grad():
        next(p for p in module.parameters() if p.requires_grad).mul_(float("inf"))
    with pytest.raises(NonFiniteError, match="became NaN or infinite"):
        trainer.save_checkpoint(path, weights_only=False)
    assert path.read_bytes() == good


def test_integers_and_other_state_are_no_weights() -> None:
    check_finite_state({"updates": torch.tensor(3), "bytes": torch.zeros(2, dtype=torch.uint8), "note": None}, 1)
