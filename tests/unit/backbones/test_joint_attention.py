"""Joint attention, RMS norm of queries and keys, and rotary positions, against diffusers on the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.backbones.joint_attention import JointAttention
from ldmlab.backbones.rotary import grid_rotation, rotate
from ldmlab.types import AttentionSite, Uncontrolled

WIDTH, HEADS, GRID, WORDS = 16, 2, (2, 3), 5
SIDES = {"picture": ("to_q", "to_k", "to_v", "to_out.0", "norm_q", "norm_k")}
SIDES["words"] = ("add_q_proj", "add_k_proj", "add_v_proj", "to_add_out", "norm_added_q", "norm_added_k")
OURS = ("to_q", "to_k", "to_v", "to_out", "q_norm", "k_norm")


def joint(qk_norm: bool = True) -> JointAttention:
    torch.manual_seed(0)
    site = AttentionSite("b.joint", "joint", GRID)
    module = JointAttention(WIDTH, HEADS, qk_norm=qk_norm, site=site).double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


def tokens() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    picture = torch.randn(2, GRID[0] * GRID[1], WIDTH, generator=generator, dtype=torch.float64)
    return picture, torch.randn(2, WORDS, WIDTH, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("qk_norm", [True, False])
def test_equals_stable_diffusion_3s(qk_norm: bool) -> None:
    from diffusers.models.attention_processor import Attention, JointAttnProcessor2_0

    theirs = Attention(
        query_dim=WIDTH,
        added_kv_proj_dim=WIDTH,
        dim_head=WIDTH // HEADS,
        heads=HEADS,
        out_dim=WIDTH,
        context_pre_only=False,
        bias=True,
        eps=1e-6,
        qk_norm="rms_norm" if qk_norm else None,
        processor=JointAttnProcessor2_0(),
    ).double()
    ours = joint(qk_norm)
    names = {f"{side}.{mine}": name for side, known in SIDES.items() for mine, name in zip(OURS, known, strict=True)}
    state = ours.state_dict()
    renamed = {f"{names[key.rpartition('.')[0]]}.{key.rpartition('.')[2]}": value for key, value in state.items()}
    theirs.load_state_dict(renamed)
    picture, words = tokens()
    wanted = theirs(picture, encoder_hidden_states=words)
    for mine, reference in zip(ours(picture, words), wanted, strict=True):
        torch.testing.assert_close(mine, reference, rtol=1e-5, atol=1e-6)  # they take means of squares in float32


def test_rotation_is_that_of_diffusers() -> None:
    """Which says x and y the other way round: its first half turns with the column."""
    from diffusers.models.embeddings import apply_rotary_emb, get_2d_rotary_pos_embed

    corner = ((0, 0), (3, 3))
    cos, sin = get_2d_rotary_pos_embed(8, corner, (3, 3), use_real=True, output_type="pt")
    ours = grid_rotation(3, 3, 8)
    rolled = [torch.cat([half for half in reversed(part.chunk(2, dim=-1))], dim=-1) for part in (cos, sin)]
    torch.testing.assert_close(ours, torch.stack(rolled).float(), rtol=1e-5, atol=1e-6)
    x = torch.randn(2, 2, 9, 8)
    torch.testing.assert_close(rotate(x, ours), apply_rotary_emb(x, (ours[0], ours[1])))


def test_products_of_turned_tokens_depend_on_differences_of_places() -> None:
    rotation = grid_rotation(4, 5, 8).double()
    q, k = (torch.randn(1, 1, 1, 8, dtype=torch.float64).expand(1, 1, 20, 8) for _ in range(2))
    scores = (rotate(q, rotation) @ rotate(k, rotation).mT).reshape(4, 5, 4, 5)
    torch.testing.assert_close(scores[0, 0, 2, 1], scores[1, 3, 3, 4], rtol=1e-6, atol=1e-6)
    assert abs(float(scores[0, 0, 2, 1] - scores[0, 0, 1, 2])) > 1e-3
    assert torch.equal(rotate(q, rotation)[:, :, 0], q[:, :, 0])
    with pytest.raises(ValueError, match="head_width=6: rotary positions on a grid need a multiple of 4"):
        grid_rotation(2, 2, 6)


def test_the_picture_knows_where_it_is_and_words_have_no_place() -> None:
    module, (picture, words) = joint(), tokens()
    rotation = grid_rotation(*GRID, WIDTH // HEADS).double()
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    plain, turned = module(picture, words), module(picture, words, rotation=rotation)
    assert not torch.allclose(plain[0], turned[0])
    moved = module(picture[:, order], words)
    torch.testing.assert_close(moved[0], plain[0][:, order])
    assert not torch.allclose(module(picture[:, order], words, rotation=rotation)[0], turned[0][:, order])
    shuffled = module(picture, words.flip(1), rotation=rotation)
    torch.testing.assert_close(shuffled[0], turned[0])


def test_masked_words_do_not_matter_and_a_control_sees_the_pictures_rows() -> None:
    module, (picture, words) = joint(), tokens()
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, 8:] = False
    other = words.clone()
    other[1, 2:] = 50.0
    seen: list[Tensor] = []

    class Looks(Uncontrolled):
        def wants(self, site: AttentionSite) -> bool:
            return True

        def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
            seen.append(probs[..., site.words(WORDS)])
            return probs

    first = module(picture, words, GRID, mask)[0]
    assert torch.equal(first, module(picture, other, GRID, mask)[0])
    torch.testing.assert_close(module(picture, words, GRID, mask, Looks())[0], first, rtol=1e-9, atol=1e-9)
    assert seen[0].shape == (2, HEADS, 6, WORDS)
    assert bool((seen[0][1, ..., 2:] == 0).all())
    assert bool((seen[0][0] > 0).all())


def test_normed_queries_and_keys_do_not_grow_with_their_weights() -> None:
    module, (picture, words) = joint(), tokens()
    before = module(picture, words)[0]
    with torch.no_grad():
        for side in (module.picture, module.words):
            for layer in (side.to_q, side.to_k):
                layer.weight *= 1000
                layer.bias *= 1000
    torch.testing.assert_close(module(picture, words)[0], before, rtol=1e-4, atol=1e-4)
