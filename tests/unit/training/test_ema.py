from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning as L
import open_clip
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from ldmlab.conditioners.clip import FrozenCLIP
from ldmlab.diffusion.timestep_sampling import Uniform
from ldmlab.draws import Draws
from ldmlab.models.checkpoints import read_checkpoint
from ldmlab.training.ema import EMA
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

TINY_CLIP = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 16, "layers": 1, "width": 64, "patch_size": 8},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


class SaveOnError(L.Callback):
    """Saves a checkpoint when training fails."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def on_exception(self, trainer: L.Trainer, *_: Any) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)


@pytest.fixture
def frozen_clip(tmp_path: Path) -> FrozenCLIP:
    """A CLIP text encoder with random weights."""
    (tmp_path / "tiny-clip.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(tmp_path / "tiny-clip.json")
    save_file(open_clip.create_model("tiny-clip").state_dict(), tmp_path / "clip.safetensors")
    return FrozenCLIP("tiny-clip", str(tmp_path / "clip.safetensors"))


def test_decay_is_that_of_the_formula() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(3, 2).double()
    ema = EMA(linear.named_parameters(), decay=0.4)
    expected = linear.weight.detach().clone()
    for n in range(1, 9):
        with torch.no_grad():
            linear.weight.normal_()
        ema.update()
        decay = min(0.4, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * linear.weight.detach()
        torch.testing.assert_close(ema.averaged_state()["weight"], expected, rtol=1e-14, atol=1e-14)
    assert (1 + 5) / (10 + 5) == 0.4  # both branches of the minimum were taken


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.5])
def test_a_decay_out_of_range_is_refused(decay: float) -> None:
    with pytest.raises(ValueError, match=f"ema_decay={decay}"):
        EMA(nn.Linear(2, 2).named_parameters(), decay)


def test_swapped_gives_the_averages_and_the_raw_weights_back_also_after_an_error() -> None:
    linear = nn.Linear(3, 2)
    ema = EMA(linear.named_parameters(), 0.9)
    with torch.no_grad():
        linear.weight.add_(1)
    ema.update()
    raw, average = linear.weight.detach().clone(), ema.averaged_state()["weight"].clone()
    assert not torch.equal(raw, average)
    with pytest.raises(RuntimeError, match="inside"), ema.swapped():  # noqa: PT012
        assert torch.equal(linear.weight, average)
        raise RuntimeError("inside")
    assert torch.equal(linear.weight, raw)
    assert torch.equal(ema.averaged_state()["weight"], average)


def test_every_trained_module_is_averaged(diffusion_training: Callable[..., LatentDiffusionTraining]) -> None:
    module = diffusion_training()
    trained = {name for part in ("denoiser", "conditioner") for name, _ in _parameters(module, part)}
    assert {name.split(".")[0] for name in trained} == {"denoiser", "conditioner"}
    assert set(module.ema.averaged_state()) == trained


def test_frozen_clip_is_not_averaged(
    diffusion_training: Callable[..., LatentDiffusionTraining], frozen_clip: FrozenCLIP
) -> None:
    module = diffusion_training(conditioner=frozen_clip)
    assert list(frozen_clip.parameters())
    assert set(module.ema.averaged_state()) == {name for name, _ in _parameters(module, "denoiser")}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_it_moves_once_an_optimizer_step(
    diffusion_training: Callable[..., LatentDiffusionTraining],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    accumulate: int,
) -> None:
    module = diffusion_training()
    trainer = fit(module, batches(3 * accumulate), accumulate_grad_batches=accumulate)
    assert trainer.global_step == 3
    assert int(module.ema.updates) == 3


def test_a_checkpoint_holds_raw_and_averaged_weights(
    diffusion_training: Callable[..., LatentDiffusionTraining],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    tmp_path: Path,
) -> None:
    module = diffusion_training()
    fit(module, batches(3)).save_checkpoint(tmp_path / "a.ckpt", weights_only=False)
    _holds_both(tmp_path / "a.ckpt", module)


def test_a_checkpoint_saved_on_an_error_in_validation_holds_both(
    diffusion_training: Callable[..., LatentDiffusionTraining],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
    tmp_path: Path,
) -> None:
    module = diffusion_training()
    poisoned = [{**batch, "images": None} for batch in batches(1)]
    with pytest.raises((TypeError, AttributeError)):
        fit(module, batches(3), [SaveOnError(tmp_path / "a.ckpt")], poisoned)
    assert int(module.ema.updates) == 3
    _holds_both(tmp_path / "a.ckpt", module)


def test_validation_is_of_the_averages_and_leaves_the_raw_weights(
    diffusion_training: Callable[..., LatentDiffusionTraining],
    batches: Callable[..., Any],
    fit: Callable[..., L.Trainer],
) -> None:
    module = diffusion_training()
    batch = batches(1)[0]
    trainer = fit(module, batches(3), validation=[batch])
    after_training = float(trainer.callback_metrics["val/loss"])

    def loss() -> float:
        draws = Draws(8, generator=torch.Generator().manual_seed(0))
        return float(module._losses(batch, Uniform(), 0.0, draws).mean())

    raw = loss()
    with module.ema.swapped():
        averaged = loss()
    assert after_training == pytest.approx(averaged, rel=1e-5)
    assert abs(raw - averaged) > 1e-3 * averaged


def _parameters(module: LatentDiffusionTraining, part: str) -> list[tuple[str, nn.Parameter]]:
    return [(f"{part}.{name}", value) for name, value in getattr(module.model, part).named_parameters()]


def _holds_both(path: Path, module: LatentDiffusionTraining) -> None:
    averages = module.ema.averaged_state()
    raw, averaged = read_checkpoint(path, ema=False), read_checkpoint(path, ema=True)
    assert (raw.ema, averaged.ema) == (False, True)
    for name, parameter in module.model.named_parameters():
        assert torch.equal(raw.state[name], parameter), name
        assert torch.equal(averaged.state[name], averages.get(name, parameter)), name
    moved = [name for name in averages if not torch.equal(raw.state[name], averaged.state[name])]
    assert any(name.startswith("conditioner.") for name in moved)
    assert any(name.startswith("denoiser.") for name in moved)


@pytest.mark.parametrize("when", ["before", "after", "both"])
def test_averages_of_half_weights_move_in_fp32(when: str) -> None:
    """At decay 0.9999 a step is a ten-thousandth of the difference, less than bf16 tells apart."""
    linear = nn.Linear(3, 2)
    if when != "after":
        linear.bfloat16()
    ema = EMA(linear.named_parameters(), 0.9999)
    ema.updates.fill_(10**6)
    if when != "before":
        nn.ModuleList([linear, ema]).bfloat16()
    start = ema.averaged_state()["weight"].clone()
    with torch.no_grad():
        linear.weight.add_(1)
    ema.update()
    average = ema.averaged_state()["weight"]
    assert (average.dtype, linear.weight.dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(average - start, 1e-4 * (linear.weight.detach().float() - start), rtol=1e-2, atol=1e-7)


def test_the_count_is_read_only_where_something_else_wrote_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """To read it is to wait for the GPU."""
    linear, reads = nn.Linear(3, 2), []
    read = torch.Tensor.__int__

    def counted(tensor: torch.Tensor) -> int:
        reads.append(tensor)
        return read(tensor)

    monkeypatch.setattr(torch.Tensor, "__int__", counted)
    one, other = EMA(linear.named_parameters()), EMA(linear.named_parameters())
    for _ in range(3):
        one.update()
        nn.ModuleList([linear, one]).double().float()
    assert reads == []
    other.load_state_dict(one.state_dict())
    for ema in (one, other, one, other):
        with torch.no_grad():
            linear.weight.add_(1)
        ema.update()
    assert len(reads) == 1
    assert int(other.updates) == int(one.updates) == 5
