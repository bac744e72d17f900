"""Networks in bf16 draw what they draw in fp32, whatever they are and whatever conditions them; the rest is in fp32.

On a CPU bf16 is slow, so networks are tiny.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.compiling import compile_networks
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.text import TextTransformer
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.parameterizations import Velocity
from ldmlab.diffusion.schedules import cosine
from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample, sample_pairs
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import Precision, choose_precision, half_weights, lay_out
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.unipc import UniPC
from ldmlab.types import AttentionSite, Uncontrolled

BF16 = Precision("bf16", torch.device("cpu"))
PROMPTS = ["a red star", "a blue circle"]
IMAGES = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
BATCH: dict[str, Any] = {"captions": PROMPTS, "labels": [0, 1], "images": IMAGES, "masks": IMAGES[:, 0] > 0}


def text() -> TextTransformer:
    conditioner = TextTransformer(vocabulary=300, length=8, width=16, depth=1, heads=2)
    conditioner.prepare(PROMPTS * 4)
    return conditioner


CONDITIONERS: dict[str, Callable[[], Conditioner]] = {
    "text": text,
    "class": lambda: ClassLabel(2, 16),
    "picture": lambda: Inpainting(text=text()),
}


def model(network: str, conditioner: Conditioner, codebook: bool = False) -> LatentDiffusion:
    torch.manual_seed(0)
    small: dict[str, Any] = {"channels": 8, "multipliers": (1,), "residual_blocks": 1, "norm_groups": 4, "patch": 2}
    autoencoder: Autoencoder = AutoencoderVQ(codes=16, **small) if codebook else AutoencoderKL(**small)
    conditioner.place(autoencoder, 4)
    widths: dict[str, Any] = {"channels": autoencoder.latent_channels, "grid": 4}
    widths |= {key: getattr(conditioner, key) for key in ("context_width", "vector_width", "concat_channels")}
    backbone: nn.Module = (
        UNet(model_channels=32, multipliers=(1,), residual_blocks=1, attention_factors=(1,), **widths)
        if network == "unet"
        else DiT(patch=1, width=16, depth=2, heads=2, conditioning=network, **widths)
    )
    made = LatentDiffusion(autoencoder, Denoiser(backbone, cosine(), Velocity()), conditioner, 4)
    with torch.no_grad():
        for parameter in made.denoiser.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    return made.eval()


def drawing(sampler: Sampler | None = None, precision: Precision | None = None) -> Drawing:
    return Drawing(sampler or DDIM(3), ClassifierFree(2.0), [3, 4], precision=precision)


def drawn(made: LatentDiffusion, how: Drawing) -> tuple[Tensor, Tensor]:
    """Pictures, and the latents after the last step, which are fp32 after every one."""
    latents: list[Tensor] = []
    reads = {key: BATCH[key] for key in ("captions", "labels", "images", "masks") if key in made.conditioner.reads}
    reads |= {"masks": BATCH["masks"]} if isinstance(made.conditioner, Inpainting) else {}
    pictures = sample(made, how, reads, lambda step, x: latents.append(x))
    assert {x.dtype for x in latents} == {torch.float32}
    return pictures.float(), latents[-1][: len(pictures)]


def seen_by(backbone: nn.Module) -> set[torch.dtype]:
    """Gathers the types of the features that a network is given and returns."""
    kinds: set[torch.dtype] = set()
    backbone.register_forward_hook(lambda module, given, out: kinds.update((given[0].dtype, out.dtype)))
    return kinds


def assert_near(found: tuple[Tensor, Tensor], wanted: tuple[Tensor, Tensor]) -> None:
    """bf16 has 8 bits: latents of unit size differ by some hundredths, pictures by some of 255 levels."""
    assert float((found[1] - wanted[1]).abs().mean()) < 0.02 * float(wanted[1].std())
    assert float((found[0] - wanted[0]).abs().mean()) < 2.0
    assert not torch.equal(found[1], wanted[1])


@pytest.mark.parametrize("conditioner", CONDITIONERS)
@pytest.mark.parametrize("network", ["unet", "adaln_zero", "in_context", "cross_attention"])
def test_half_weights_draw_what_whole_ones_do(network: str, conditioner: str) -> None:
    made = model(network, CONDITIONERS[conditioner]())
    whole, kinds = drawn(made, drawing()), seen_by(made.denoiser.backbone)
    half_weights(made, torch.bfloat16)
    assert_near(drawn(made, drawing(precision=BF16)), whole)
    assert kinds == {torch.bfloat16}


@pytest.mark.parametrize("sampler", [DDPM(3), UniPC(3)], ids=["ddpm", "unipc"])
def test_samplers_compute_in_fp32(sampler: Sampler) -> None:
    made = model("adaln_zero", text(), codebook=True)
    whole = drawn(made, drawing(sampler))
    half_weights(made, torch.bfloat16)
    assert_near(drawn(made, drawing(sampler)), whole)


def test_weights_that_stay_whole_are_cast_on_the_way() -> None:
    """As a training run's are, for its grids."""
    made = model("unet", text())
    whole, kinds = drawn(made, drawing()), seen_by(made.denoiser.backbone)
    assert_near(drawn(made, drawing(precision=BF16)), whole)
    assert kinds == {torch.float32, torch.bfloat16}
    assert {weight.dtype for weight in made.parameters()} == {torch.float32}


@pytest.mark.gpu
@pytest.mark.parametrize("compiled", [False, True], ids=["eager", "compiled"])
@pytest.mark.parametrize("name", ["bf16", "fp16", "tf32", "fp32"])
@pytest.mark.parametrize("network", ["unet", "adaln_zero"])
def test_a_gpu_draws_what_a_cpu_does_in_every_precision(network: str, name: str, compiled: bool) -> None:
    made = model(network, CONDITIONERS["picture"]())
    whole = drawn(made, drawing())
    precision = choose_precision(name, "cuda")
    made.cuda()
    if precision.is_half:
        half_weights(made, precision.dtype)
    lay_out(made, precision)
    if compiled:
        torch._dynamo.reset()
        compile_networks([made.denoiser.backbone, made.autoencoder.decoder.layers])
    found = drawn(made, drawing(precision=precision))
    assert_near((found[0], found[1].cpu()), whole)


class Looking(Uncontrolled):
    """Notes the type of the probabilities that it is shown, and what they sum to."""

    def __init__(self) -> None:
        self.kinds: set[torch.dtype] = set()
        self.error = 0.0

    def wants(self, site: AttentionSite) -> bool:
        return True

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        self.kinds.add(probs.dtype)
        self.error = max(self.error, float((probs.sum(dim=-1) - 1).abs().max()))
        return probs


@pytest.mark.parametrize("cast", [True, False], ids=["weights", "autocast"])
def test_a_control_is_shown_probabilities_in_fp32(cast: bool) -> None:
    made, control = model("adaln_zero", text()), Looking()
    if cast:
        half_weights(made, torch.bfloat16)
    prompts = ({"captions": PROMPTS}, {"captions": PROMPTS[::-1]})
    first, second = sample_pairs(made, drawing(precision=BF16), *prompts, lambda rows: control)
    assert not torch.equal(first, second)
    assert control.kinds == {torch.float32}
    assert control.error < 1e-5


def test_what_stands_around_the_networks_stays_whole() -> None:
    made = model("unet", CONDITIONERS["picture"](), codebook=True)
    codes = made.get_submodule("autoencoder.codebook").state_dict()
    latents = made.encode(IMAGES.byte())
    half_weights(made, torch.bfloat16)
    assert {tensor.dtype for name, tensor in made.autoencoder.named_buffers() if "latent" in name} == {torch.float32}
    after = made.get_submodule("autoencoder.codebook").state_dict()
    assert all(torch.equal(after[name], value) for name, value in codes.items())
    again = made.encode(IMAGES.byte())
    assert again.dtype == torch.float32
    assert made.autoencoder.reconstruct(again).dtype == torch.float32
    assert float((again - latents).abs().mean()) < 0.02
    subject = Subject({key: BATCH[key] for key in ("captions", "images", "masks")})
    conds = conditions(made, ClassifierFree(2.0), subject, range(2))
    for each in (conds.cond, conds.uncond):
        assert each is not None
        assert {field.dtype for field in vars(each).values() if field is not None} <= {torch.float32, torch.bool}
    assert made.denoiser.schedule.signal.dtype == torch.float64
