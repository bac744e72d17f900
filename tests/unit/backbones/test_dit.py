"""DiT: initialisation, the four blocks written again, what it reads, and its attention sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.backbones.block_inputs import BlockInputs
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.dit_blocks import BLOCKS, DiTBlock
from ldmlab.types import AttentionSite, Conditioning

Trained = Callable[[nn.Module], nn.Module]
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
T = torch.tensor([3, 900])
KINDS = sorted(BLOCKS)


def small(**changes: Any) -> DiT:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 4, "grid": 8, "patch": 2, "width": 32, "depth": 2, "heads": 4}
    return DiT(**{**settings, **changes})


def text(tokens: int = 5, padded: int = 2) -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[1, tokens - padded :] = False
    return Conditioning(torch.randn(2, tokens, 6, generator=generator), mask, torch.randn(2, 10, generator=generator))


@pytest.mark.parametrize("kind", KINDS)
def test_output_at_initialisation_is_exactly_zero(kind: str) -> None:
    out = small(context_width=6, vector_width=10, out_channels=8, conditioning=kind)(X, T, text())
    assert out.shape == (2, 8, 8, 8)
    assert torch.equal(out, torch.zeros_like(out))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("base", [None, 4])
def test_latents_of_another_grid_are_those_of_a_network_made_for_them(
    kind: str, base: int | None, trained: Trained
) -> None:
    made = {"context_width": 6, "vector_width": 10, "conditioning": kind, "base_grid": base}
    model = trained(small(**made))
    square = small(grid=12, **made)
    square.load_state_dict(model.state_dict())
    larger = torch.randn(2, 4, 12, 12, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        assert torch.equal(model(larger, T, text()), square(larger, T, text()))
        for part in (larger[..., :6, :], larger[..., :6]):
            assert model(part, T, text()).shape == part.shape


def test_blocks_start_as_the_identity() -> None:
    model = small(context_width=6)
    tokens, embedding = torch.randn(2, 16, 32), torch.randn(2, 32)
    for block in model.blocks:
        assert torch.equal(block(tokens, BlockInputs(embedding, (4, 4), text().context)), tokens)


def test_initial_spreads() -> None:
    model = small(width=128, depth=1)
    for index in (0, 2):
        assert float(model.time_embedding.mlp[index].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    for layer in ("to_q", "to_k", "to_v"):  # one matrix of 3D x D in the reference
        weight = getattr(model.blocks[0].self_attention, layer).weight
        assert float(weight.detach().abs().max()) == pytest.approx((6 / (128 + 3 * 128)) ** 0.5, rel=0.01)
    out = model.blocks[0].self_attention.to_out.weight
    assert float(out.detach().abs().max()) == pytest.approx((6 / 256) ** 0.5, rel=0.01)
    patches = model.patch_embedding.weight
    assert float(patches.detach().abs().max()) == pytest.approx((6 / (16 + 128)) ** 0.5, rel=0.02)
    assert not bool(model.patch_embedding.bias.any())


def reference_block(
    kind: str, block: DiTBlock, x: Tensor, embedding: Tensor, context: Tensor | None, mask: Tensor | None
) -> Tensor:
    """Peebles & Xie 2023, figure 3, on the block's weights; adaLN with cross-attention in between."""
    weights = {name: p.detach() for name, p in block.named_parameters()}
    width = x.shape[-1]

    def norm(tokens: Tensor, name: str) -> Tensor:
        centred = tokens - tokens.mean(-1, keepdim=True)
        normed = centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()
        if kind.startswith("adaln"):
            assert f"{name}.weight" not in weights
            return normed
        return normed * weights[f"{name}.weight"] + weights[f"{name}.bias"]

    def linear(tokens: Tensor, name: str) -> Tensor:
        return tokens @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def attention(queries: Tensor, source: Tensor, name: str, keep: Tensor | None) -> Tensor:
        q, k, v = linear(queries, f"{name}.to_q"), linear(source, f"{name}.to_k"), linear(source, f"{name}.to_v")
        heads = []
        for part in torch.arange(width).chunk(4):
            scores = torch.einsum("bnd,bmd->bnm", q[..., part], k[..., part]) / len(part) ** 0.5
            weight = scores.exp() if keep is None else scores.exp() * keep[:, None, :]
            heads.append(weight / weight.sum(-1, keepdim=True) @ v[..., part])
        return linear(torch.cat(heads, -1), f"{name}.to_out")

    vectors = {"adaln_zero": 6, "adaln": 4}.get(kind, 0)
    zero, one = torch.zeros(len(x), 1, width).double(), torch.ones(len(x), 1, width).double()
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = zero, zero, one, zero, zero, one
    if vectors:
        modulation = linear(embedding * torch.sigmoid(embedding), "modulation.1")
        regressed = modulation.reshape(len(x), vectors, 1, width).unbind(1)
        if vectors == 6:
            shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = regressed
        else:
            shift, scale, mlp_shift, mlp_scale = regressed
    hidden = norm(x, "self_norm") * (1 + scale) + shift
    x = x + gate * attention(hidden, hidden, "self_attention", mask if kind == "in_context" else None)
    if kind != "in_context" and context is not None:
        x = x + attention(norm(x, "cross_norm"), context, "cross_attention", mask)
    hidden = linear(norm(x, "mlp_norm") * (1 + mlp_scale) + mlp_shift, "mlp.0")
    return x + mlp_gate * linear(functional.gelu(hidden, approximate="tanh"), "mlp.2")


@pytest.mark.parametrize("with_context", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_block_is_the_papers(trained: Trained, kind: str, with_context: bool) -> None:
    block = trained(BLOCKS[kind](32, 4, 4.0, 6 if with_context else None, "auto", "b", (4, 4)))
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 16, 32, generator=generator, dtype=torch.float64)
    embedding = torch.randn(2, 32, generator=generator, dtype=torch.float64)
    context, mask = (text().context.double(), text().context_mask) if with_context else (None, None)
    if kind == "in_context" and with_context:
        context, mask = None, torch.rand(2, 16, generator=generator) < 0.7
    assert isinstance(block, DiTBlock)
    found = block.double()(x, BlockInputs(embedding, (4, 4), context, mask))
    wanted = reference_block(kind, block, x, embedding, context, mask)
    torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("with_text", [True, False])
@pytest.mark.parametrize("kind", ["in_context", "cross_attention"])
def test_the_condition_as_tokens(trained: Trained, kind: str, with_text: bool) -> None:
    """The network again, from its blocks: text, time and vector are tokens, and a plain norm ends it."""
    model = trained(small(context_width=6 if with_text else None, vector_width=10, conditioning=kind)).double()
    cond = text().map(lambda field: field.double() if field.is_floating_point() else field)
    own = torch.stack([model.time_embedding(T), model.vector_projection(cond.vector)], dim=1)
    extra, keep = own, torch.ones(2, 2, dtype=torch.bool)
    if with_text:
        extra = torch.cat([model.context_projection(cond.context), own], dim=1)
        keep = torch.cat([cond.context_mask, keep], dim=1)
    tokens = model.patch_embedding(X.double()).flatten(2).transpose(1, 2) + model.positions
    if kind == "in_context":
        tokens, keep = torch.cat([tokens, extra], dim=1), torch.cat([torch.ones(2, 16, dtype=torch.bool), keep], dim=1)
    for block in model.blocks:
        tokens = reference_block(kind, block, tokens, own[:, 0], extra, keep)
    out = model.final(functional.layer_norm(tokens[:, :16], (32,), *model.final_norm.parameters(), eps=1e-6))
    torch.testing.assert_close(model(X.double(), T, cond), model._unpatchify(out, 4, 4), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_time_and_every_condition_matter(trained: Trained, kind: str) -> None:
    model = trained(small(context_width=6, vector_width=10, conditioning=kind))
    cond = text()
    out = model(X, T, cond)
    changed = [
        model(X, T + 1, cond),
        model(X, T, Conditioning(cond.context + 1, cond.context_mask, cond.vector)),
        model(X, T, Conditioning(cond.context, None, cond.vector)),
        model(X, T, Conditioning(cond.context, cond.context_mask, cond.vector + 1)),
    ]
    assert not any(torch.allclose(out, other, atol=1e-6) for other in changed)


@pytest.mark.parametrize("kind", KINDS)
def test_padded_tokens_do_not_matter(trained: Trained, kind: str) -> None:
    model = trained(small(context_width=6, vector_width=10, conditioning=kind))
    cond = text()
    other = cond.context.clone()
    other[1, 3:] = 50.0
    assert torch.equal(model(X, T, cond), model(X, T, Conditioning(other, cond.context_mask, cond.vector)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_without_a_context_is_not_read(trained: Trained, kind: str) -> None:
    model = trained(small(vector_width=10, conditioning=kind))
    assert torch.equal(model(X, T, text()), model(X, T, Conditioning(vector=text().vector)))


def test_patches_go_in_and_out_in_the_same_order() -> None:
    """With patch embedding and final layer as each other's inverse, the image comes back."""
    model = small(width=16, heads=4, depth=0, patch=2)
    with torch.no_grad():
        model.patch_embedding.weight.copy_(torch.eye(16).reshape(16, 4, 2, 2))
        tokens = model.patch_embedding(X).flatten(2).transpose(1, 2)
    channels_last = tokens.unflatten(-1, (4, 2, 2)).permute(0, 1, 3, 4, 2).flatten(2)
    assert torch.equal(model._unpatchify(channels_last, 4, 4), X)


@pytest.mark.parametrize("kind", KINDS)
def test_sites_are_all_the_attention_there_is(control: Any, trained: Trained, kind: str) -> None:
    model = trained(small(context_width=6, vector_width=10, depth=3, conditioning=kind))
    cond = text()
    torch.testing.assert_close(model(X, T, cond, control), model(X, T, cond), rtol=1e-4, atol=1e-5)
    names = [site.name for site in control.sites]
    kinds = ["joint"] if kind == "in_context" else ["self", "cross"]
    assert names == [f"blocks.{i}.{k}" for i in range(3) for k in kinds]
    assert len(names) == sum(isinstance(m, Attention) for m in model.modules())
    assert {site.grid for site in control.sites} == {(4, 4)}
    assert [site.kind for site in control.sites] == kinds * 3


@pytest.mark.parametrize(("kind", "keys"), [("adaln", 5), ("adaln_zero", 5), ("cross_attention", 7)])
def test_context_token_j_is_key_j_of_cross_attention(trained: Trained, kind: str, keys: int) -> None:
    seen = KeepKeys("cross", [0, 1, 2, 3, 4])
    model = trained(small(context_width=6, vector_width=10, depth=1, conditioning=kind))
    model(X, T, text(padded=3), seen)
    (probs,) = seen.probs
    assert probs.shape == (2, 4, 16, keys)
    assert bool((probs[1, :, :, 2:5] == 0).all())
    assert bool((probs[1, :, :, :2] > 0).all())


def test_in_context_shows_the_pictures_rows_over_the_whole_sequence(trained: Trained) -> None:
    """Keys are picture, text, time, vector; cutting off the text leaves what is drawn independent of it."""
    model = trained(small(context_width=6, vector_width=10, conditioning="in_context", depth=1))
    seen, cond = KeepKeys("joint", [*range(16), 21, 22]), text()
    other = Conditioning(cond.context + 1, cond.context_mask, cond.vector)
    torch.testing.assert_close(model(X, T, cond, seen), model(X, T, other, seen))
    assert [tuple(probs.shape) for probs in seen.probs] == [(2, 4, 16, 23)] * 2
    assert not torch.allclose(model(X, T, cond), model(X, T, other))


class KeepKeys:
    """Notes the probabilities of sites of a kind, and lets only some keys be seen."""

    def __init__(self, kind: str, keys: list[int]) -> None:
        self.kind = kind
        self.keys = keys
        self.probs: list[Tensor] = []

    def wants(self, site: AttentionSite) -> bool:
        return site.kind == self.kind

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        self.probs.append(probs)
        kept = torch.zeros_like(probs)
        kept[..., self.keys] = probs[..., self.keys]
        return kept / kept.sum(-1, keepdim=True)

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        return latents


def test_concatenated_channels_are_read(trained: Trained) -> None:
    model = trained(small(concat_channels=1))
    with pytest.raises(ValueError, match=r"DiT takes latents of shape \(5, 8, 8\), .* set backbone.concat_channels"):
        model(X, T, Conditioning())
    first, second = (model(X, T, Conditioning(concat=torch.full((2, 1, 8, 8), v))) for v in (0.0, 1.0))
    assert first.shape == X.shape
    assert not torch.allclose(first, second)


def test_wrong_shapes_and_missing_conditions() -> None:
    model = small(context_width=6, vector_width=10)
    for wrong in (X[:, :3], X[..., :7, :], torch.cat([X, X[..., :1]], -1)):
        with pytest.raises(
            ValueError, match=r"DiT takes latents of shape \(4, 8, 8\), or of other sides that 2 divides, and got"
        ):
            model(wrong, T, text())
    with pytest.raises(ValueError, match="built to read 'vector'"):
        model(X, T, Conditioning(context=text().context))
    with pytest.raises(ValueError, match="built to read 'context'"):
        model(X, T, Conditioning(vector=text().vector))
    with pytest.raises(ValueError, match=r"backbone.patch=3 does not divide the latent grid of 8"):
        small(patch=3)


@pytest.mark.parametrize("kind", KINDS)
def test_missing_conditions_whatever_the_block(kind: str) -> None:
    model = small(context_width=6, vector_width=10, conditioning=kind)
    with pytest.raises(ValueError, match="built to read 'vector'"):
        model(X, T, Conditioning(context=text().context))
    with pytest.raises(ValueError, match="built to read 'context'"):
        model(X, T, Conditioning(vector=text().vector))


def test_impossible_conditioning() -> None:
    with pytest.raises(ValueError, match=r"backbone.conditioning=adaln0: choose one of in_context, cross_attention"):
        small(conditioning="adaln0")
    with pytest.raises(ValueError, match=r"backbone.conditioning=cross_attention: the conditioner gives nothing"):
        small(conditioning="cross_attention")


@pytest.mark.parametrize("kind", ["adaln", "adaln_zero", "in_context"])
def test_time_alone_is_condition_enough(kind: str, trained: Trained) -> None:
    model = trained(small(conditioning=kind))
    assert not torch.allclose(model(X, T, Conditioning()), model(X, T + 9, Conditioning()), atol=1e-6)
