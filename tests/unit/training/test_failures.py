from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from ldmlab.training.failures import LossWatch, NonFiniteError, check_finite, check_finite_state


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


class OnGPU(torch.Tensor):
    """A tensor that says so."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return torch.device("cuda")


def test_losses_on_a_gpu_are_looked_at_every_few_steps_and_when_asked() -> None:
    watch, nan = LossWatch(3), torch.tensor([1.0, 2.0, float("nan")]).as_subclass(OnGPU)
    for step, loss in enumerate(nan[[0, 1, 0, 1, 2]]):
        watch.note(loss, step)
    with pytest.raises(NonFiniteError, match="loss became nan at step 4"):
        watch.note(nan[0], 5)
    watch.note(nan[2], 6)
    with pytest.raises(NonFiniteError, match="at step 6"):
        watch.look()
    watch.look()
    with pytest.raises(NonFiniteError, match="at step 7"):
        watch.note(torch.tensor(float("inf")), 7)  # on a CPU at once
    with pytest.raises(ValueError, match=r"training\.nan_check_every=0: .* for example 50"):
        LossWatch(0)


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


@pytest.mark.parametrize("kind", ["autoencoder_training", "diffusion_training"])
def test_a_checkpoint_waits_for_the_losses_that_were_not_looked_at(
    kind: str,
    request: pytest.FixtureRequest,
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    tmp_path: Path,
) -> None:
    module = request.getfixturevalue(kind)(nan_check_every=100)
    trainer = fit(module, batches(1))
    module.watch.note(torch.tensor(float("nan")).as_subclass(OnGPU), 12)
    with pytest.raises(NonFiniteError, match="loss became nan at step 12"):
        trainer.save_checkpoint(tmp_path / "a.ckpt", weights_only=False)


def test_integers_and_other_state_are_no_weights() -> None:
    check_finite_state({"updates": torch.tensor(3), "bytes": torch.zeros(2, dtype=torch.uint8), "note": None}, 1)
