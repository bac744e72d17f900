"""DiT: initialisation, the adaLN-Zero block written again, what it reads, and its attention sites."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from ldmlab.attention.module import Attention
from ldmlab.backbones.dit import DiT, DiTBlock
from ldmlab.types import Conditioning

Trained = Callable[[nn.Module], nn.Module]
X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
T = torch.tensor([3, 900])


def small(**changes: Any) -> DiT:
    torch.manual_seed(0)
    settings: dict[str, Any] = {"channels": 4, "grid": 8, "patch": 2, "width": 32, "depth": 2, "heads": 4}
    return DiT(**{**settings, **changes})


def text(tokens: int = 5, padded: int = 2) -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    mask = torch.ones(2, tokens, dtype=torch.bool)
    mask[1, tokens - padded :] = False
    return Conditioning(torch.randn(2, tokens, 6, generator=generator), mask, torch.randn(2, 10, generator=generator))


def test_output_at_initialisation_is_exactly_zero() -> None:
    out = small(context_width=6, vector_width=10, out_channels=8)(X, T, text())
    assert out.shape == (2, 8, 8, 8)
    assert torch.equal(out, torch.zeros_like(out))


def test_blocks_start_as_the_identity() -> None:
    model = small(context_width=6)
    tokens, embedding = torch.randn(2, 16, 32), torch.randn(2, 32)
    for block in model.blocks:
        assert torch.equal(block(tokens, embedding, (4, 4), text().context, None, None), tokens)


def test_initial_spreads() -> None:
    model = small(width=128, depth=1)
    for index in (0, 2):
        assert float(model.time_embedding.mlp[index].weight.detach().std()) == pytest.approx(0.02, rel=0.1)
    query = model.blocks[0].self_attention.to_q.weight
    assert float(query.detach().abs().max()) == pytest.approx((6 / 256) ** 0.5, rel=0.01)
    patches = model.patch_embedding.weight
    assert float(patches.detach().abs().max()) == pytest.approx((6 / (16 + 128)) ** 0.5, rel=0.02)
    assert not bool(model.patch_embedding.bias.any())


def reference_block(block: DiTBlock, x: Tensor, embedding: Tensor, context: Tensor, mask: Tensor) -> Tensor:
    """Peebles & Xie 2023, figure 3 (adaLN-Zero), with cross-attention in between, on the block's weights."""
    weights = {name: p.detach() for name, p in block.named_parameters()}
    width = x.shape[-1]

    def norm(tokens: Tensor) -> Tensor:
        centred = tokens - tokens.mean(-1, keepdim=True)
        return centred / (centred.square().mean(-1, keepdim=True) + 1e-6).sqrt()

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

    modulation = linear(embedding * torch.sigmoid(embedding), "modulation.1")
    shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = modulation.reshape(len(x), 6, 1, width).unbind(1)
    hidden = norm(x) * (1 + scale) + shift
    x = x + gate * attention(hidden, hidden, "self_attention", None)
    x = x + attention(norm(x), context, "cross_attention", mask)
    hidden = functional.gelu(linear(norm(x) * (1 + mlp_scale) + mlp_shift, "mlp.0"), approximate="tanh")
    return x + mlp_gate * linear(hidden, "mlp.2")


def test_block_is_adaln_zero(trained: Trained) -> None:
    block = trained(DiTBlock(32, 4, 4.0, 6, "auto", "b")).double()
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(2, 16, 32, generator=generator, dtype=torch.float64)
    embedding = torch.randn(2, 32, generator=generator, dtype=torch.float64)
    cond = text()
    context, mask = cond.context.double(), cond.context_mask
    found = block(x, embedding, (4, 4), context, mask, None)
    torch.testing.assert_close(found, reference_block(block, x, embedding, context, mask), rtol=1e-9, atol=1e-9)


def test_time_and_every_condition_matter(trained: Trained) -> None:
    model = trained(small(context_width=6, vector_width=10))
    cond = text()
    out = model(X, T, cond)
    changed = [
        model(X, T + 1, cond),
        model(X, T, Conditioning(cond.context + 1, cond.context_mask, cond.vector)),
        model(X, T, Conditioning(cond.context, None, cond.vector)),
        model(X, T, Conditioning(cond.context, cond.context_mask, cond.vector + 1)),
    ]
    assert not any(torch.allclose(out, other, atol=1e-6) for other in changed)


def test_padded_tokens_do_not_matter(trained: Trained) -> None:
    model = trained(small(context_width=6, vector_width=10))
    cond = text()
    other = cond.context.clone()
    other[1, 3:] = 50.0
    assert torch.equal(model(X, T, cond), model(X, T, Conditioning(other, cond.context_mask, cond.vector)))


def test_a_mask_without_cross_attention_is_not_read(trained: Trained) -> None:
    model = trained(small(vector_width=10))
    assert torch.equal(model(X, T, text()), model(X, T, Conditioning(vector=text().vector)))


def test_patches_go_in_and_out_in_the_same_order() -> None:
    """With patch embedding and final layer as each other's inverse, the image comes back."""
    model = small(width=16, heads=4, depth=0, patch=2)
    with torch.no_grad():
        model.patch_embedding.weight.copy_(torch.eye(16).reshape(16, 4, 2, 2))
        tokens = model.patch_embedding(X).flatten(2).transpose(1, 2)
    channels_last = tokens.unflatten(-1, (4, 2, 2)).permute(0, 1, 3, 4, 2).flatten(2)
    assert torch.equal(model._unpatchify(channels_last), X)


def test_sites_are_all_the_attention_there_is(control: Any, trained: Trained) -> None:
    model = trained(small(context_width=6, depth=3))
    cond = text()
    torch.testing.assert_close(model(X, T, cond, control), model(X, T, cond), rtol=1e-4, atol=1e-5)
    names = [site.name for site in control.sites]
    assert len(set(names)) == len(names) == sum(isinstance(m, Attention) for m in model.modules()) == 6
    assert names[:2] == ["blocks.0.self", "blocks.0.cross"]
    assert {site.grid for site in control.sites} == {(4, 4)}
    assert [site.kind for site in control.sites] == ["self", "cross"] * 3


def test_concatenated_channels_are_read(trained: Trained) -> None:
    model = trained(small(channels=5, out_channels=4))
    first, second = (model(X, T, Conditioning(concat=torch.full((2, 1, 8, 8), v))) for v in (0.0, 1.0))
    assert first.shape == X.shape
    assert not torch.allclose(first, second)


def test_wrong_shapes_and_missing_conditions() -> None:
    model = small(context_width=6, vector_width=10)
    for wrong in (X[:, :3], X[..., :6, :], torch.cat([X, X], -1)):
        with pytest.raises(ValueError, match=r"DiT takes latents of shape \(4, 8, 8\) and got"):
            model(wrong, T, text())
    with pytest.raises(ValueError, match="built to read 'vector'"):
        model(X, T, Conditioning(context=text().context))
    with pytest.raises(ValueError, match="built to read 'context'"):
        model(X, T, Conditioning(vector=text().vector))
    with pytest.raises(ValueError, match=r"backbone.patch=3 does not divide the latent grid of 8"):
        small(patch=3)
