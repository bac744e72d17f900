"""Every sampler, backbone, conditioner and autoencoder keeps its seam's promises. A new file is found by itself."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ldmlab
from ldmlab.autoencoders.base import Autoencoder
from ldmlab.conditioners.base import Conditioner
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.spacing import SPACINGS
from ldmlab.types import Conditioning, Level

SOURCE = Path(ldmlab.__file__).parent


def classes(room: str, wanted: Callable[[type], bool]) -> list[type]:
    """The concrete classes that a room's modules define themselves."""
    found = []
    for path in sorted((SOURCE / room).glob("*.py")):
        module = importlib.import_module(f"ldmlab.{room}.{path.stem}".removesuffix(".__init__"))
        own = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
        found += [c for c in own if not inspect.isabstract(c) and wanted(c)]
    return found


def is_backbone(candidate: type) -> bool:
    if not issubclass(candidate, nn.Module):
        return False
    names = list(inspect.signature(candidate.forward).parameters)
    return names == ["self", "x", "timesteps", "cond", "control"]


SAMPLERS = classes("samplers", lambda c: issubclass(c, Sampler))
BACKBONES = classes("backbones", is_backbone)
CONDITIONERS = classes("conditioners", lambda c: issubclass(c, Conditioner))
AUTOENCODERS = classes("autoencoders", lambda c: issubclass(c, Autoencoder))


def test_the_known_ones_are_found() -> None:
    assert {c.__name__ for c in SAMPLERS} >= {"DDPM", "DDIM", "DPMSolver2M", "DPMSolver2MSDE", "Heun", "Euler", "UniPC"}
    assert {c.__name__ for c in BACKBONES} >= {"DiT", "UNet"}
    assert {c.__name__ for c in CONDITIONERS} >= {"TextTransformer", "ClassLabel", "FrozenCLIP"}
    assert {c.__name__ for c in AUTOENCODERS} >= {"AutoencoderKL", "AutoencoderVQ"}


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("kind", SAMPLERS)
def test_sampler(kind: type[Sampler], steps: int, spacing: str) -> None:
    """A network that is sure of its answer gets it, and only x, step noise and hooks are used."""
    sampler = kind(steps=steps, spacing=spacing)
    levels = sampler.levels(scaled_linear())
    answer = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(2, 3, 2, 2)
    noise = torch.randn(2, 3, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    given, calls = noise.clone(), []
    generator = torch.Generator().manual_seed(1)

    def after(step: int, x: Tensor) -> Tensor:
        calls.append(step)
        return x

    def denoise(x: Tensor, level: Level) -> Tensor:
        assert x.shape == noise.shape
        assert level.alpha.shape == ()
        return answer

    hooks = SamplerHooks(
        after_step=after, step_noise=lambda x: torch.randn(x.shape, generator=generator, dtype=x.dtype)
    )
    before = torch.get_rng_state()
    out = sampler.sample(denoise, noise, levels, hooks)
    torch.testing.assert_close(out, answer, rtol=1e-6, atol=1e-6)
    assert torch.equal(noise, given)
    assert torch.equal(torch.get_rng_state(), before)
    assert calls == list(range(steps))
    assert len(levels) == steps + 1


SMALL = {
    "channels": 4,
    "grid": 8,
    "context_width": 6,
    "vector_width": 10,
    "width": 96,
    "depth": 1,
    "model_channels": 32,
    "multipliers": (1, 2),
    "residual_blocks": 1,
}


class Control:
    """Wants all sites and notes them."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def wants(self, site: Any) -> bool:
        return True

    def edit(self, probs: Tensor, site: Any) -> Tensor:
        self.names.append(site.name)
        return probs

    def before_step(self, step: int) -> None:
        raise AssertionError("the sampler owns the clock")

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        raise AssertionError("the sampler owns the clock")


def build_backbone(kind: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    accepted = inspect.signature(kind).parameters
    model = kind(**{name: value for name, value in SMALL.items() if name in accepted})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return model.eval()


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbone(kind: type[nn.Module]) -> None:
    model = build_backbone(kind)
    x, timesteps = torch.randn(2, 4, 8, 8), torch.tensor([0, 999])
    mask = torch.tensor([[True, True, True], [True, False, False]])
    cond = Conditioning(torch.randn(2, 3, 6), mask, torch.randn(2, 10))
    control = Control()
    with torch.no_grad():
        out, controlled = model(x, timesteps, cond), model(x, timesteps, cond, control)
        alone = model(x[1:], timesteps[1:], cond[1:])
    assert out.shape == x.shape
    torch.testing.assert_close(controlled, out, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(alone, out[1:], rtol=1e-4, atol=1e-4)
    assert control.names
    assert len(set(control.names)) == len(control.names)
    with pytest.raises(ValueError, match="conditioner"):
        model(x, timesteps, Conditioning())
    with pytest.raises(ValueError, match="channels"):
        model(x[:, :2], timesteps, cond)


@pytest.mark.parametrize("kind", BACKBONES)
def test_backbone_trains_every_weight(kind: type[nn.Module]) -> None:
    model = build_backbone(kind)
    cond = Conditioning(torch.randn(2, 3, 6), None, torch.randn(2, 10))
    model(torch.randn(2, 4, 8, 8), torch.tensor([0, 999]), cond).square().mean().backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert [name for name in untouched if not name.endswith("to_k.bias")] == []  # softmax does not see a key bias


def small_clip(folder: Path) -> dict[str, Any]:
    import open_clip

    name = "ldmlab-contract"
    architecture = {
        "embed_dim": 8,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 16, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 12, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    (folder / f"{name}.json").write_text(json.dumps(architecture))
    open_clip.add_model_config(folder)
    torch.save(open_clip.create_model(name, pretrained=None).state_dict(), folder / "weights.pt")
    return {"model": name, "weights": str(folder / "weights.pt")}


ARGUMENTS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "ClassLabel": lambda folder: {"classes": 5, "width": 8},
    "CLIPText": lambda folder: {"width": 16, "depth": 1, "heads": 2},
    "FrozenCLIP": small_clip,
}


class Latents:
    """An autoencoder of factor 4 that gives two means."""

    latent_channels, factor, latent_mean = 2, 4, torch.zeros(2)

    def moments(self, images: Tensor) -> tuple[Tensor, Tensor]:
        small = torch.nn.functional.avg_pool2d(images, 4)[:, :2]
        return small, torch.zeros_like(small)


@pytest.mark.parametrize("kind", CONDITIONERS)
def test_conditioner(kind: type[Conditioner], tmp_path: Path) -> None:
    """With a batch that has everything in it, its condition and its null have the same fields, shapes and dtypes."""
    captions = ["a red star", "a blue circle", "a green square"]
    conditioner = kind(**ARGUMENTS.get(kind.__name__, lambda folder: {})(tmp_path)).eval()
    conditioner.prepare(captions * 5)
    weights = {*conditioner.state_dict()}
    conditioner.place(Latents(), 4)
    assert {*conditioner.state_dict()} == weights
    everything = {"captions": captions, "labels": [0, 1, 4], "images": torch.zeros(3, 3, 16, 16)}
    batch = conditioner.complete({key: everything[key] for key in conditioner.reads})
    cond, null = conditioner(batch), conditioner.null(3)
    for field in fields(Conditioning):
        mine, theirs = getattr(cond, field.name), getattr(null, field.name)
        assert (mine is None) == (theirs is None), field.name
        assert mine is None or (mine.shape == theirs.shape and mine.dtype == theirs.dtype)
    for width, tensor in ((conditioner.context_width, cond.context), (conditioner.vector_width, cond.vector)):
        assert width == (None if tensor is None else tensor.shape[-1])
    assert conditioner.concat_channels == (0 if cond.concat is None else cond.concat.shape[1])
    assert ("labels" in conditioner.reads) == (conditioner.classes is not None)
    for key in conditioner.reads:
        with pytest.raises(ValueError, match=f"reads '{key}', which the data lacks"):
            conditioner({other: value for other, value in batch.items() if other != key})
    dropped = conditioner.drop(cond, 1.0, 3)
    torch.testing.assert_close(dropped.vector, null.vector)
    assert bool(conditioner.reads) == any(getattr(cond, field.name) is not None for field in fields(Conditioning))


def build_autoencoder(kind: type[Autoencoder], **changes: Any) -> Autoencoder:
    torch.manual_seed(0)
    return kind(channels=8, multipliers=(1, 2), residual_blocks=1, latent_channels=5, norm_groups=4, **changes)


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_autoencoder(kind: type[Autoencoder]) -> None:
    """Shapes, latents of unit variance once measured, the same images from them, and statistics that are saved."""
    model, images = build_autoencoder(kind, patch=2).eval(), torch.randn(16, 3, 16, 24)
    assert (model.factor, model.latent_channels) == (4, 5)
    with torch.no_grad():
        raw = model.posterior(images)
        plain = model.reconstruct(raw.mean)
        total = (raw.mean.var((0, 2, 3)) + raw.std.square().mean((0, 2, 3))).sqrt()
        model.set_statistics(raw.mean.mean((0, 2, 3)), total)
        mean, std = model.moments(images)
        latents = model.encode(images)
        decoded = model.decode(mean)
    assert latents.shape == mean.shape == std.shape == (16, 5, 4, 6)
    assert decoded.shape == images.shape
    torch.testing.assert_close(latents.mean((0, 2, 3)), torch.zeros(5), atol=0.15, rtol=0)
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(5), atol=0.15, rtol=0)
    torch.testing.assert_close(decoded, plain, rtol=1e-3, atol=1e-4)
    other = build_autoencoder(kind, patch=2)
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.latent_std, total)
    with pytest.raises(ValueError, match="factor 4 does not divide images of 16x18"):
        model.encode(torch.zeros(1, 3, 16, 18))


@pytest.mark.parametrize("kind", AUTOENCODERS)
def test_autoencoder_trains_every_weight(kind: type[Autoencoder]) -> None:
    model = build_autoencoder(kind)
    result = model(torch.randn(2, 3, 8, 8))
    assert result.images.shape == (2, 3, 8, 8)
    assert all(value.ndim == 0 and value.isfinite() for value in (*result.terms.values(), *result.figures.values()))
    (result.images.square().mean() + sum(result.terms.values())).backward()
    untouched = [name for name, p in model.named_parameters() if p.grad is None or not bool(p.grad.any())]
    assert [name for name in untouched if not name.endswith("to_k.bias")] == []  # softmax does not see a key bias
