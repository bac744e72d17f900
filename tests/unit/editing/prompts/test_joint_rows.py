"""Rows of one softmax over picture and words: they sum to one, and what the words gain the other keys lose."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from ldmlab.conditioners.words import PromptWords
from ldmlab.editing.prompts.joint_rows import with_picture, with_words
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.types import AttentionSite

STEPS, LENGTH = 10, 5
SITE = AttentionSite("blocks.0.joint", "joint", (2, 3))
COLUMNS, OTHERS = slice(6, 11), [*range(6), 11, 12]
"""Keys: six of the picture, five words, time and vector."""


def softmax(seed: int = 0, rows: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, 6, 13, generator=generator, dtype=torch.float64).softmax(dim=-1)


def prompt(*words: str) -> PromptWords:
    tokens = tuple((n + 1,) for n in range(len(words)))
    return PromptWords(words, tokens, (0, *range(len(words) + 1, LENGTH)))


def control(settings: EditSettings, target: PromptWords | None = None, pairs: int = 2) -> PromptToPromptControl:
    edit = PromptEdit.between(prompt("red", "star"), target or prompt("blue", "star"), STEPS, settings)
    return PromptToPromptControl([edit] * pairs, settings)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.3, -0.5, 50.0])
def test_rows_sum_to_one_and_the_others_keep_their_proportions(factor: float) -> None:
    rows = softmax()
    out = with_words(rows, factor * rows[..., COLUMNS], COLUMNS)
    torch.testing.assert_close(out.sum(dim=-1), torch.ones(2, 2, 6).double())
    if factor < 50:
        torch.testing.assert_close(out[..., COLUMNS], factor * rows[..., COLUMNS])
        ratio = out[..., OTHERS] / rows[..., OTHERS]
        torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))
    else:  # more than all there is: words share it among them
        assert not out[..., OTHERS].any()
        torch.testing.assert_close(out[..., COLUMNS], rows[..., COLUMNS] / rows[..., COLUMNS].sum(-1, keepdim=True))


def test_the_picture_attends_to_itself_as_elsewhere_and_as_much_as_before() -> None:
    rows, source = softmax(0), softmax(1)
    out = with_picture(rows, source, 6)
    assert torch.equal(out[..., 6:], rows[..., 6:])
    torch.testing.assert_close(out.sum(dim=-1), torch.ones(2, 2, 6).double())
    ratio = out[..., :6] / source[..., :6]
    torch.testing.assert_close(ratio, ratio[..., :1].expand_as(ratio))


def test_what_changes_nothing_comes_back_to_the_last_bit() -> None:
    for seed in range(20):
        rows = softmax(seed).float()
        assert torch.equal(with_words(rows, rows[..., COLUMNS], COLUMNS), rows)
        assert torch.equal(with_picture(rows, rows, 6), rows)
    certain = torch.zeros(1, 1, 6, 13)
    certain[..., 7] = 1  # all on one word
    assert torch.equal(with_words(certain, certain[..., COLUMNS], COLUMNS), certain)


def test_rows_sum_to_one_where_one_word_has_all() -> None:
    certain = torch.zeros(1, 1, 6, 13)
    certain[..., 7] = 1
    assert torch.equal(with_words(certain, 0.5 * certain[..., COLUMNS], COLUMNS), certain)
    rows = softmax(rows=1)[:, :1].float()
    assert torch.equal(with_picture(rows, certain, 6), rows)  # of which the source's picture says nothing


def test_a_swap_by_hand() -> None:
    """Early the words are the source's and how the picture attends to itself, then the words alone, then nothing."""
    edit = control(EditSettings(tau=0.8))
    probs = softmax(rows=4)
    source, target = probs.chunk(2)
    for step in range(STEPS):
        edit.before_step(step)
        if step >= 8:
            assert not edit.wants(SITE)
            continue
        assert edit.wants(SITE)
        first, second = edit.edit(probs, SITE).chunk(2)
        assert torch.equal(first, source)
        assert torch.equal(second[..., COLUMNS], source[..., COLUMNS])
        left = 1 - source[..., COLUMNS].sum(dim=-1, keepdim=True)
        own = target.clone()
        if step < 4:
            shares = source[..., :6] / source[..., :6].sum(dim=-1, keepdim=True)
            own[..., :6] = shares * own[..., :6].sum(dim=-1, keepdim=True)
        wanted = own[..., OTHERS] / own[..., OTHERS].sum(dim=-1, keepdim=True) * left
        torch.testing.assert_close(second[..., OTHERS], wanted)
    assert edit.touched_words
    assert edit.touched == {SITE.name}


def test_a_new_word_keeps_its_map_and_rows_their_sum() -> None:
    edit = control(EditSettings(tau=1), prompt("big", "red", "star"))
    probs = softmax(rows=4)
    for step in range(STEPS):
        edit.before_step(step)
        second = edit.edit(probs, SITE)[2:]
        torch.testing.assert_close(second.sum(dim=-1), torch.ones(2, 2, 6).double())
        torch.testing.assert_close(second[..., 7], probs[2:, ..., 7])  # big
        torch.testing.assert_close(second[..., 8], probs[:2, ..., 7])  # red


def test_a_word_is_weighed_at_the_cost_of_what_is_no_word() -> None:
    edit = control(EditSettings(tau=0, self_tau=0, reweight={"star": 0.25}), prompt("red", "star"))
    edit.before_step(0)
    probs = softmax(rows=4)
    second, own = edit.edit(probs, SITE)[2:], probs[2:]
    torch.testing.assert_close(second[..., 8], 0.25 * own[..., 8])
    torch.testing.assert_close(second[..., 7], own[..., 7])
    torch.testing.assert_close(second.sum(dim=-1), torch.ones(2, 2, 6).double())
    assert bool((second[..., OTHERS] > own[..., OTHERS]).all())


def test_on_a_large_grid_the_picture_keeps_its_own_rows() -> None:
    edit = control(EditSettings(tau=1, self_tau=1, self_side=2))
    edit.before_step(0)
    probs = softmax(rows=4)
    second = edit.edit(probs, SITE)[2:]
    assert torch.equal(second[..., COLUMNS], probs[:2, ..., COLUMNS])
    assert not torch.allclose(second[..., OTHERS], probs[:2, ..., OTHERS])


def test_a_blend_reads_the_words_alone() -> None:
    edit = control(EditSettings(blend=["red"], blend_from=0))
    edit.before_step(0)
    probs = softmax(rows=4)
    probs[:2, ..., 7] = torch.tensor([0, 0, 0, 0, 0, 0.9])  # the source's red is in the last cell
    probs[:2, ..., :6] = 100.0  # whatever the picture attends to
    edit.edit(probs, SITE)
    assert edit.blend is not None
    assert edit.blend.sums[SITE.grid].shape == (2, 2, 2, 3)
    torch.testing.assert_close(edit.blend.sums[SITE.grid][0, 0], torch.tensor([[0, 0, 0], [0, 0, 0.9]]))
