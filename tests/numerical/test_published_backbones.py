"""Parameters and multiply-adds of published networks, as their experiments build them, without allocating them.

Diffusion Transformers: Peebles & Xie 2023, tables 1, 4 and 6. The parameters were counted on the public code, with the
position table; MACs are of matrix products and convolutions. The paper's own "Gflops" also hold about two element-wise
operations a token, channel and block, hence the 0.1 %. (B/4 is printed as 5.56 and is 5.565.) UNets: counted on the
public models of Rombach et al. 2022 and of Stable Diffusion.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate

from ldmlab.cli import catalogue
from ldmlab.cli.build import build_autoencoder, build_backbone, build_conditioner
from ldmlab.cli.compose import hydra_at_conf
from ldmlab.conditioners.base import Conditioner
from ldmlab.describe import Description, count_values, describe

# Parameters with the position table, GMACs, and what the paper prints as Gflops.
DIT = {
    "dit_s_8": (33_148_160, 0.358, 0.36),
    "dit_s_4": (32_945_024, 1.413, 1.41),
    "dit_s_2": (32_963_360, 6.056, 6.06),
    "dit_b_8": (130_881_536, 1.418, 1.42),
    "dit_b_4": (130_475_648, 5.565, 5.56),
    "dit_b_2": (130_512_416, 23.005, 23.01),
    "dit_l_8": (458_594_816, 5.011, 5.01),
    "dit_l_4": (458_053_760, 19.696, 19.70),
    "dit_l_2": (458_102_816, 80.698, 80.71),
    "dit_xl_8": (675_683_072, 7.392, 7.39),
    "dit_xl_4": (675_074_432, 29.044, 29.05),
    "dit_xl_2": (675_129_632, 118.621, 118.64),
}

# DiT-XL/2: trainable parameters and GMACs.
CONDITIONING = {
    "in_context": (449_162_528, 119.354),
    "cross_attention": (597_991_712, 137.603),
    "adaln": (600_452_384, 118.547),
    "adaln_zero": (674_834_720, 118.621),
}

# Parameters without the conditioner, and GMACs where they are known.
UNETS = {
    "ldm_4_imagenet": (400_920_579, 104.22),
    "ldm_8_imagenet": (394_984_196, 57.04),
    "ldm_4_faces": (274_056_163, 101.20),
    "ldm_8_churches": (294_966_916, 20.92),
    "ldm_8_text": (872_300_484, None),
    "ldm_4_inpainting": (387_245_827, None),
    "ldm_4_super_resolution": (113_622_563, None),
    "sd_1": (859_520_964, 401.64),
    "sd_1_inpainting": (859_535_364, None),
}


@cache
def published(name: str, *overrides: str) -> tuple[Description, Conditioner]:
    """The backbone of experiments/published/NAME.yaml and one pass through it, and its conditioner."""
    with hydra_at_conf("train"):
        config = compose("train", [f"experiment=published/{name}", *overrides])
    with torch.device("meta"):
        autoencoder = build_autoencoder(config.autoencoder)
        conditioner = build_conditioner(config.conditioner)
        grid, channels = config.data.image_size // autoencoder.factor, autoencoder.latent_channels
        variance = instantiate(config.objective).learns_variance
        backbone = build_backbone(config.backbone, channels, grid, conditioner, variance)
    conditioner.prepare([""])
    cond = conditioner.null(1)
    if backbone.concat_channels:
        cond = replace(cond, concat=torch.empty(1, backbone.concat_channels, grid, grid))
    x, timesteps = torch.empty(1, channels, grid, grid), torch.zeros(1, dtype=torch.long)
    return describe(backbone, x, timesteps, cond), conditioner


def trainable(name: str, *overrides: str) -> int:
    """With the table of classes."""
    description, conditioner = published(name, *overrides)
    return description.root.trainable + count_values(conditioner)[0]


def test_the_tables_hold_every_published_experiment() -> None:
    written = {name for name in catalogue.options("experiment") if name.startswith("published/")}
    assert written == {f"published/{name}" for name in (*DIT, *UNETS)}


@pytest.mark.parametrize("name", DIT)
def test_diffusion_transformers(name: str) -> None:
    parameters, gmacs, printed = DIT[name]
    description, _ = published(name)
    assert trainable(name) + description.root.buffers == parameters
    assert description.root.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert description.root.macs / 1e9 == pytest.approx(printed, rel=1e-3, abs=0.005)  # printed to two places
    assert description.root.flops == 2 * description.root.macs
    assert description.tokens == ((32 // int(name[-1])) ** 2,)


def test_diffusion_transformer_at_512_px() -> None:
    description, _ = published("dit_xl_2", "data.image_size=512")
    assert trainable("dit_xl_2", "data.image_size=512") + description.root.buffers == 676_014_368
    assert description.root.macs / 1e9 == pytest.approx(524.538, abs=5e-4)
    assert description.tokens == (1024,)


@pytest.mark.parametrize("conditioning", CONDITIONING)
def test_conditioning_blocks(conditioning: str) -> None:
    parameters, gmacs = CONDITIONING[conditioning]
    override = f"backbone.conditioning={conditioning}"
    description, _ = published("dit_xl_2", override)
    assert trainable("dit_xl_2", override) == parameters
    assert description.root.macs / 1e9 == pytest.approx(gmacs, abs=5e-4)
    assert description.root.buffers == 256 * 1152
    assert description.tokens == (258 if conditioning == "in_context" else 256,)
    assert description.context_tokens == ((2,) if conditioning == "cross_attention" else ())


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_products_of_attention_are_counted_with_every_backend(attention: str) -> None:
    """4 N D^2 for the projections and 2 N^2 D for scores and values, per block."""
    description, _ = published("dit_xl_2", f"backbone.attention={attention}")
    parts = dict(description.root.walk(3))
    n, width = 256, 1152
    assert parts["blocks.0.self_attention"].macs == 4 * n * width**2 + 2 * n**2 * width
    assert description.root.macs / 1e9 == pytest.approx(118.621, abs=5e-4)


@pytest.mark.parametrize("name", UNETS)
def test_unets(name: str) -> None:
    parameters, gmacs = UNETS[name]
    description, _ = published(name)
    assert (description.root.trainable, description.root.frozen, description.root.buffers) == (parameters, 0, 0)
    if gmacs is not None:
        assert description.root.macs / 1e9 == pytest.approx(gmacs, abs=0.01)


@pytest.mark.parametrize(
    ("name", "tokens", "context"),
    [
        ("ldm_4_imagenet", (1024, 256, 64), (1,)),
        ("ldm_8_imagenet", (1024, 256, 64), (1,)),
        ("ldm_4_faces", (1024, 256, 64), ()),
        ("ldm_8_churches", (1024, 256, 64, 16, 4), ()),
        ("ldm_8_text", (1024, 256, 64, 16), (77,)),
        ("ldm_4_inpainting", (1024, 256, 64), ()),
        ("ldm_4_super_resolution", (64,), ()),
        ("sd_1", (4096, 1024, 256, 64), (77,)),
    ],
)
def test_where_the_unets_attend(name: str, tokens: tuple[int, ...], context: tuple[int, ...]) -> None:
    description, _ = published(name)
    assert (description.tokens, description.context_tokens) == (tokens, context)


def test_the_prompt_model_of_text_to_image() -> None:
    """The published 581,994,042 hold an output layer over the vocabulary that nothing reads."""
    _, conditioner = published("ldm_8_text")
    unused = 1280 * 30_522 + 30_522  # weights and bias
    assert count_values(conditioner)[0] == 581_994_042 - unused == 542_895_360


def test_the_text_encoder_of_stable_diffusion() -> None:
    _, conditioner = published("sd_1")
    assert count_values(conditioner)[:2] == (0, 123_060_480)
