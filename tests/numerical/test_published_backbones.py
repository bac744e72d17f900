"""Parameters and multiply-adds of published networks, as their experiments build them, without allocating them.

Diffusion Transformers: Peebles & Xie 2023, tables 1, 4 and 6. The parameters were counted on the public code, with the
position table; MACs are of matrix products and convolutions. The paper's own "Gflops" also hold about two element-wise
operations a token, channel and block, hence the 0.1 %. (B/4 is printed as 5.56 and is 5.565.) UNets: counted on the
public models of Rombach et al. 2022 and of Stable Diffusion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from ldmlab.configs import catalogue
from ldmlab.counting.description import describe
from ldmlab.counting.module_cost import count_values
from ldmlab.counting.passes import Pass

Build = Callable[..., Any]


def some(names: Iterable[str], ordinary: tuple[str, ...]) -> list[Any]:
    """All of them; those that are not named as ordinary are slow tests."""
    return [name if name in ordinary else pytest.param(name, marks=pytest.mark.slow) for name in names]


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

# Parameters without the conditioner, GMACs, and the tokens that self- and cross-attention read. GMACs of text to image,
# inpainting and super-resolution are our own count; the others were counted on the public models too.
UNETS = {
    "ldm_4_imagenet": (400_920_579, 104.22, (1024, 256, 64), (1,)),
    "ldm_8_imagenet": (394_984_196, 57.04, (1024, 256, 64), (1,)),
    "ldm_4_faces": (274_056_163, 101.20, (1024, 256, 64), ()),
    "ldm_8_churches": (294_966_916, 20.92, (1024, 256, 64, 16, 4), ()),
    "ldm_8_text": (872_300_484, 91.04, (1024, 256, 64, 16), (77,)),
    "ldm_4_inpainting": (387_245_827, 150.43, (1024, 256, 64), ()),
    "ldm_4_super_resolution": (113_622_563, 40.23, (64,), ()),
    "sd_1": (859_520_964, 401.64, (4096, 1024, 256, 64), (77,)),
    "sd_1_inpainting": (859_535_364, 401.70, (4096, 1024, 256, 64), (77,)),
}


def cost(network: Any) -> tuple[float, tuple[int, ...], tuple[int, ...]]:
    """GMACs of a pass, and how many tokens self- and cross-attention read."""
    example = Pass(network.backbone, network.inputs, "forward")
    macs = example.flops()[Pass.ROOT] / 2
    tokens = {kind: tuple(sorted(found, reverse=True)) for kind, found in example.tokens.items()}
    return macs / 1e9, tokens["self"], tokens["cross"]


def parameters(network: Any) -> tuple[int, int]:
    """Trainable ones with the table of classes, and those with the table of positions too."""
    trainable, frozen, tables = count_values(network.backbone)
    assert frozen == 0
    trainable += count_values(network.conditioner)[0]
    return trainable, trainable + tables


def test_the_tables_hold_every_published_experiment() -> None:
    written = {name for name in catalogue.options("experiment") if name.startswith("published/")}
    assert written == {f"published/{name}" for name in (*DIT, *UNETS)}


@pytest.mark.parametrize("name", some(DIT, ("dit_s_8", "dit_b_4", "dit_xl_2")))
def test_diffusion_transformers(name: str, published: Build) -> None:
    with_table, gmacs, printed = DIT[name]
    found, tokens, _ = cost(published(name))
    assert parameters(published(name))[1] == with_table
    assert found == pytest.approx(gmacs, abs=5e-4)
    assert found == pytest.approx(printed, rel=1e-3, abs=0.005)  # printed to two places
    assert tokens == ((32 // int(name[-1])) ** 2,)


def test_diffusion_transformer_at_512_px(published: Build) -> None:
    network = published("dit_xl_2", "data.image_size=512")
    found, tokens, _ = cost(network)
    assert parameters(network)[1] == 676_014_368
    assert found == pytest.approx(524.538, abs=5e-4)
    assert found == pytest.approx(524.60, rel=1e-3)
    assert tokens == (1024,)


@pytest.mark.parametrize("conditioning", some(CONDITIONING, ("in_context", "cross_attention")))
def test_conditioning_blocks(conditioning: str, published: Build) -> None:
    trainable, gmacs = CONDITIONING[conditioning]
    network = published("dit_xl_2", f"backbone.conditioning={conditioning}")
    found, tokens, context = cost(network)
    assert parameters(network) == (trainable, trainable + 256 * 1152)
    assert found == pytest.approx(gmacs, abs=5e-4)
    assert tokens == (258 if conditioning == "in_context" else 256,)
    assert context == ((2,) if conditioning == "cross_attention" else ())


@pytest.mark.parametrize("attention", ["sdpa", "explicit"])
def test_products_of_attention_are_counted_with_every_backend(attention: str, published: Build) -> None:
    """4 N D^2 for the projections and 2 N^2 D for scores and values, per block."""
    network = published("dit_s_2", f"backbone.attention={attention}")
    root = describe(network.backbone, *network.inputs).root
    n, width = 256, 384
    assert dict(root.walk(3))["blocks.0.self_attention"].macs == 4 * n * width**2 + 2 * n**2 * width
    assert root.macs / 1e9 == pytest.approx(DIT["dit_s_2"][1], abs=5e-4)
    assert root.flops == 2 * root.macs


@pytest.mark.parametrize("name", some(UNETS, ("ldm_4_imagenet", "ldm_8_text", "ldm_4_inpainting", "sd_1")))
def test_unets(name: str, published: Build) -> None:
    wanted, gmacs, tokens, context = UNETS[name]
    network = published(name)
    found, *read = cost(network)
    assert count_values(network.backbone) == (wanted, 0, 0)
    assert found == pytest.approx(gmacs, abs=0.01)
    assert read == [tokens, context]


def test_the_prompt_model_of_text_to_image(published: Build) -> None:
    """The published 581,994,042 hold an output layer over the vocabulary that nothing reads."""
    unused = 1280 * 30_522 + 30_522  # weights and bias
    assert count_values(published("ldm_8_text").conditioner)[0] == 581_994_042 - unused == 542_895_360


def test_the_text_encoder_of_stable_diffusion(published: Build) -> None:
    assert count_values(published("sd_1").conditioner)[:2] == (0, 123_060_480)
