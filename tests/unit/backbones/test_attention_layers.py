"""One attention module for self and cross, and what a control sees and changes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.types import AttentionSite

SITE = AttentionSite("a.cross", "cross", (2, 3))


class Control:
    """Records sites and probabilities, and edits what it wants."""

    def __init__(self, wanted: str, edit: Callable[[Tensor], Tensor] = lambda probs: probs) -> None:
        self.wanted = wanted
        self.function = edit
        self.seen: list[tuple[AttentionSite, Tensor]] = []

    def wants(self, site: AttentionSite) -> bool:
        return self.wanted in site.name

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        self.seen.append((site, probs))
        return self.function(probs)

    def before_step(self, step: int) -> None:
        raise AssertionError("the sampler owns the clock")

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        raise AssertionError("the sampler owns the clock")


@pytest.fixture
def module() -> Attention:
    torch.manual_seed(0)
    return Attention(8, heads=2, context_width=6, qkv_bias=True, site=SITE).double()


@pytest.fixture
def inputs() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 6, 8, generator=generator, dtype=torch.float64)
    context = torch.randn(2, 5, 6, generator=generator, dtype=torch.float64)
    mask = torch.tensor([[True] * 5, [True, True, True, False, False]])
    return x, context, mask


def test_equals_torchs_multi_head_attention() -> None:
    torch.manual_seed(0)
    theirs = nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    ours = Attention(8, heads=2, qkv_bias=True).double()
    with torch.no_grad():
        for layer, weight, bias in zip(
            (ours.to_q, ours.to_k, ours.to_v),
            theirs.in_proj_weight.chunk(3),
            theirs.in_proj_bias.normal_().chunk(3),
            strict=True,
        ):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    ours.to_out.load_state_dict(theirs.out_proj.state_dict())
    x = torch.randn(3, 6, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x, (2, 3)), theirs(x, x, x, need_weights=False)[0])


def test_identity_control_equals_the_fused_path(module: Attention, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, context, mask = inputs
    control = Control("a.cross")
    controlled = module(x, (2, 3), context, mask, control)
    torch.testing.assert_close(controlled, module(x, (2, 3), context, mask), rtol=1e-12, atol=1e-12)
    [(site, probs)] = control.seen
    assert site is SITE
    assert probs.shape == (2, 2, 6, 5)
    assert bool((probs[1, :, :, 3:] == 0).all())


def test_a_site_that_is_not_wanted_is_untouched(module: Attention, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, context, mask = inputs
    control = Control("elsewhere", torch.zeros_like)
    assert torch.equal(module(x, (2, 3), context, mask, control), module(x, (2, 3), context, mask))
    assert control.seen == []


def test_the_edit_replaces_the_probabilities(module: Attention, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, context, _ = inputs

    def first_key_only(probs: Tensor) -> Tensor:
        edited = torch.zeros_like(probs)
        edited[..., 0] = 1
        return edited

    edited = module(x, (2, 3), context, None, Control("a", first_key_only))
    wanted = module.to_out(module.to_v(context[:, :1])).expand_as(edited)
    torch.testing.assert_close(edited, wanted)


def test_masked_tokens_do_not_matter(module: Attention, inputs: tuple[Tensor, Tensor, Tensor]) -> None:
    x, context, mask = inputs
    other = context.clone()
    other[1, 3:] = 100.0
    assert torch.equal(module(x, (2, 3), other, mask), module(x, (2, 3), context, mask))
    assert not torch.allclose(module(x, (2, 3), other), module(x, (2, 3), context))


def test_self_attention_names_its_kind_and_head_width_is_free() -> None:
    control = Control("")
    module = Attention(8, heads=3, head_width=4, site=AttentionSite("b.self", "self", (3, 2)))
    assert module(torch.randn(1, 6, 8), (3, 2), control=control).shape == (1, 6, 8)
    assert module.to_q.weight.shape == (12, 8)
    assert module.to_q.bias is None
    assert control.seen[0][0] == AttentionSite("b.self", "self", (3, 2))


def test_heads_must_divide_the_width() -> None:
    with pytest.raises(ValueError, match="heads=3 does not divide width=8"):
        Attention(8, heads=3)
