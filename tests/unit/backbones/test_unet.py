"""UNet: what it reads, its attention sites, its parts, and the input that it refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.residual import Downsample, ResidualBlock
from ldmlab.backbones.spatial_self_attention import SpatialSelfAttention
from ldmlab.backbones.spatial_transformer import GEGLU
from ldmlab.backbones.unet import UNet
from ldmlab.types import Conditioning

Trained = Callable[[nn.Module], nn.Module]
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
T = torch.tensor([3, 900])


def small(**changes: Any) -> UNet:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 4, "grid": 8, "model_channels": 32, "multipliers": (1, 2)}
    return UNet(**{**settings, "residual_blocks": 1, "attention_factors": (2,), **changes})


def text() -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    return Conditioning(torch.randn(2, 5, 6, generator=generator), mask, torch.randn(2, 10, generator=generator))


def test_output_at_initialisation_is_exactly_zero() -> None:
    out = small(context_width=6, vector_width=10, out_channels=3)(X, T, text())
    assert out.shape == (2, 3, 8, 8)
    assert torch.equal(out, torch.zeros_like(out))


def test_time_and_every_condition_matter(trained: Trained) -> None:
    model = trained(small(context_width=6, vector_width=10))
    cond = text()
    out = model(X, T, cond)
    assert out.shape == X.shape
    changed = [
        model(X, T + 1, cond),
        model(X, T, Conditioning(cond.context + 1, cond.context_mask, cond.vector)),
        model(X, T, Conditioning(cond.context, None, cond.vector)),
        model(X, T, Conditioning(cond.context, cond.context_mask, cond.vector + 1)),
    ]
    assert not any(torch.allclose(out, other, atol=1e-6) for other in changed)


def test_padded_tokens_do_not_matter(trained: Trained) -> None:
    model = trained(small(context_width=6))
    cond = text()
    other = cond.context.clone()
    other[1, 3:] = 50.0
    assert torch.equal(model(X, T, cond), model(X, T, Conditioning(other, cond.context_mask)))


def test_without_text_the_second_attention_is_self_and_reads_no_mask(control: Any, trained: Trained) -> None:
    model = trained(small())
    assert torch.equal(model(X, T, text()), model(X, T, Conditioning()))
    model(X, T, text(), control)
    assert {site.kind for site in control.sites} == {"self"}
    assert len({site.name for site in control.sites}) == len(control.sites)


@pytest.mark.parametrize("depth", [1, 2])
def test_sites_are_all_the_attention_there_is(control: Any, trained: Trained, depth: int) -> None:
    model = trained(small(context_width=6, attention_factors=(1, 2), transformer_depth=depth))
    cond = text()
    torch.testing.assert_close(model(X, T, cond, control), model(X, T, cond), rtol=1e-4, atol=1e-4)
    names = [site.name for site in control.sites]
    attentions = sum(isinstance(m, Attention) for m in model.modules())
    assert len(set(names)) == len(names) == attentions == 2 * depth * 7  # 2 down, 1 middle, 4 up
    assert names[:2] == ["down.0.0.self", "down.0.0.cross"]
    grids = {site.name.split(".")[0] + str(site.grid) for site in control.sites}
    assert grids == {"down(8, 8)", "down(4, 4)", "middle(4, 4)", "up(4, 4)", "up(8, 8)"}


def test_attention_factors_choose_the_resolutions(control: Any) -> None:
    small(attention_factors=(1,))(X, T, Conditioning(), control)
    assert {site.name.split(".")[0] for site in control.sites if site.grid == (4, 4)} == {"middle"}


def test_heads_by_number_or_by_width() -> None:
    by_number, by_width = small(heads=2, head_width=None), small(head_width=16)
    heads = [[m.heads for m in model.modules() if isinstance(m, Attention)] for model in (by_number, by_width)]
    assert set(heads[0]) == {2}
    assert set(heads[1]) == {4}
    assert {n: p.shape for n, p in by_number.named_parameters()} == {n: p.shape for n, p in by_width.named_parameters()}


def test_another_grid_than_the_trained_one_is_fine(trained: Trained) -> None:
    assert trained(small())(torch.zeros(1, 4, 4, 12), T[:1], Conditioning()).shape == (1, 4, 4, 12)


def test_concatenated_channels_are_read(trained: Trained) -> None:
    model = trained(small(concat_channels=1))
    with pytest.raises(ValueError, match=r"UNet takes 5 channels, 1 of them .* set backbone.concat_channels"):
        model(X, T, Conditioning())
    first, second = (model(X, T, Conditioning(concat=torch.full((2, 1, 8, 8), v))) for v in (0.0, 1.0))
    assert first.shape == X.shape
    assert not torch.allclose(first, second)


def test_dropout_only_in_training() -> None:
    block = ResidualBlock(32, 8, 32, dropout=0.5)
    nn.init.normal_(block.out[-1].weight)
    x, embedding = torch.randn(1, 32, 4, 4), torch.randn(1, 8)
    assert not torch.equal(block(x, embedding), block(x, embedding))
    block.eval()
    assert torch.equal(block(x, embedding), block(x, embedding))


def test_adaptive_norm_scales_and_shifts_what_the_norm_returns(trained: Trained) -> None:
    """Against the formula: out = skip + conv(silu(norm(h) (1 + scale) + shift)), h = conv(silu(norm(x)))."""
    block = trained(ResidualBlock(32, 8, 64, adaptive_norm=True))
    x, embedding = torch.randn(2, 32, 4, 4), torch.randn(2, 8)
    scale, shift = block.embedding(embedding)[:, :, None, None].split(64, dim=1)
    modulated = block.out[0](block.into(x)) * (1 + scale) + shift
    expected = block.skip(x) + block.out[3](functional.silu(modulated))
    torch.testing.assert_close(block(x, embedding), expected)


def test_a_unet_with_adaptive_norm_still_starts_at_zero_and_reads_its_condition(trained: Trained) -> None:
    model = small(vector_width=10, adaptive_norm=True)
    assert torch.equal(model(X, T, text()), torch.zeros_like(X))
    out, other = (trained(model)(X, T, Conditioning(vector=torch.full((2, 10), v))) for v in (0.0, 1.0))
    assert not torch.allclose(out, other, atol=1e-6)


def by_hand(x: torch.Tensor, direction: str) -> torch.Tensor:
    """The mean of each 2x2 square, or each value four times."""
    if direction == "down":
        return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4
    return torch.einsum("bchw,ij->bchiwj", x, torch.ones(2, 2).to(x)).flatten(4, 5).flatten(2, 3)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("direction", ["down", "up"])
def test_a_residual_block_changes_the_grid_before_its_first_convolution(
    trained: Trained, direction: Any, adaptive: bool
) -> None:
    block = trained(ResidualBlock(32, 8, 32, adaptive_norm=adaptive, resample=direction)).double()
    x, embedding = torch.randn(2, 32, 4, 6, dtype=torch.float64), torch.randn(2, 8, dtype=torch.float64)
    same = ResidualBlock(32, 8, 32, adaptive_norm=adaptive).double()
    same.load_state_dict(block.state_dict())
    hidden = block.into[2](
        by_hand(functional.silu(functional.group_norm(x, 32, *block.into[0].parameters())), direction)
    )
    embedded = block.embedding(embedding)[:, :, None, None]
    scale, shift = embedded.chunk(2, dim=1) if adaptive else (0 * hidden, 0 * hidden)
    normed = functional.group_norm(hidden if adaptive else hidden + embedded, 32, *block.out[0].parameters())
    wanted = by_hand(x, direction) + block.out[3](functional.silu(normed * (1 + scale) + shift))
    torch.testing.assert_close(block(x, embedding), wanted, rtol=1e-9, atol=1e-9)


def test_plain_attention_is_the_formula(trained: Trained) -> None:
    block = trained(SpatialSelfAttention(32, 2, 16, "auto", "b", (3, 4))).double()
    x = torch.randn(2, 32, 3, 4, dtype=torch.float64)
    inputs = BlockInputs(torch.empty(2, 0), (3, 4))
    weights = {name: p.detach() for name, p in block.named_parameters()}
    tokens = functional.group_norm(x, 32, weights["norm.weight"], weights["norm.bias"]).flatten(2).mT

    def linear(tokens: torch.Tensor, name: str) -> torch.Tensor:
        return tokens @ weights[f"attention.{name}.weight"].T + weights[f"attention.{name}.bias"]

    heads = []
    for part in torch.arange(32).chunk(2):
        q, k, v = (linear(tokens, name)[..., part] for name in ("to_q", "to_k", "to_v"))
        weight = (q @ k.mT / 4).exp()
        heads.append(weight / weight.sum(-1, keepdim=True) @ v)
    wanted = x + linear(torch.cat(heads, -1), "to_out").mT.reshape(x.shape)
    torch.testing.assert_close(block(x, inputs), wanted, rtol=1e-9, atol=1e-9)
    fresh = SpatialSelfAttention(32, 2, 16, "auto", "b", (3, 4)).double()
    assert torch.equal(fresh(x, inputs), x)


def test_a_plain_unet_has_one_self_attention_a_place_and_reads_the_vector_alone(control: Any, trained: Trained) -> None:
    model = trained(small(attention_block="plain", residual_resampling=True, context_width=6, vector_width=10))
    cond = text()
    out = model(X, T, cond, control)
    torch.testing.assert_close(out, model(X, T, cond), rtol=1e-4, atol=1e-4)
    assert [site.name for site in control.sites] == ["down.2.self", "middle.self", "up.0.self", "up.1.self"]
    assert {site.kind for site in control.sites} == {"self"}
    assert len(control.sites) == sum(isinstance(m, Attention) for m in model.modules())
    assert torch.equal(model(X, T, cond), model(X, T, Conditioning(vector=cond.vector)))
    assert not torch.allclose(model(X, T, Conditioning(vector=cond.vector + 1)), model(X, T, cond), atol=1e-6)


def test_residual_resampling_keeps_the_output_zero_at_the_start() -> None:
    model = small(attention_block="plain", residual_resampling=True, adaptive_norm=True)
    assert torch.equal(model(X, T, Conditioning()), torch.zeros_like(X))
    assert not any(isinstance(m, Downsample) for m in model.modules())


def test_downsampling_pads_all_sides_alike() -> None:
    layer = Downsample(1)
    nn.init.ones_(layer.conv.weight)
    nn.init.zeros_(layer.conv.bias)
    assert layer(torch.ones(1, 1, 4, 4)).flatten().tolist() == [4.0, 6.0, 6.0, 9.0]


def test_geglu_gates_with_gelu() -> None:
    layer = GEGLU(4)
    x = torch.randn(2, 3, 4)
    value, gate = layer.into(x)[..., :16], layer.into(x)[..., 16:]
    torch.testing.assert_close(layer(x), layer.out(value * functional.gelu(gate)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 2}, r"backbone.heads=2, head_width=32: give one"),
        ({"head_width": None}, r"backbone.heads=None, head_width=None: give one"),
        ({"head_width": 48}, r"backbone.head_width=48 does not divide 64 features"),
        ({"heads": 3, "head_width": None}, r"backbone.heads=3 does not divide 64 features"),
        ({"heads": 0, "head_width": None}, r"backbone.heads=0 does not divide 64 features"),
        ({"attention_block": "linear"}, r"backbone.attention_block=linear: choose transformer or plain"),
        ({"attention_block": "plain", "context_width": 6}, r"backbone.attention_block=plain: reads no context"),
        ({"grid": 7}, r"halves its grid 1 times and cannot split 7x7"),
        ({"model_channels": 48}, r"48 features cannot be split into 32 groups"),
    ],
)
def test_impossible_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small(**changes)


def test_wrong_shapes_and_missing_conditions() -> None:
    model = small(context_width=6, vector_width=10)
    with pytest.raises(ValueError, match="UNet takes 4 channels, 0 of them from the conditioner, and got 3"):
        model(X[:, :3], T, text())
    with pytest.raises(ValueError, match="cannot split 8x7"):
        model(X[..., :7], T, text())
    with pytest.raises(ValueError, match="built to read 'vector'"):
        model(X, T, Conditioning(context=text().context))
    with pytest.raises(ValueError, match="built to read 'context'"):
        model(X, T, Conditioning(vector=text().vector))
