"""The joint prompt model."""

from __future__ import annotations

import io

import pytest
import torch

from ldmlab.conditioners.text import MOST_CAPTIONS, TextTransformer
from ldmlab.conditioners.tokenizer import to_tensor


def test_fields_and_widths(text: TextTransformer, captions: list[str]) -> None:
    cond = text({"captions": captions[:3]})
    assert cond.context.shape == (3, 24, 16)
    assert cond.context_mask.shape == (3, 24)
    assert cond.vector.shape == (3, 16)
    assert cond.concat is None
    assert text.context_width == text.vector_width == 16


def test_the_vector_alone(text: TextTransformer, captions: list[str]) -> None:
    alone = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2, tokens=False)
    alone.load_state_dict(text.state_dict())
    assert (alone.context_width, alone.vector_width) == (None, 16)
    for cond, whole in (
        (alone({"captions": captions[:3]}), text({"captions": captions[:3]})),
        (alone.null(2), text.null(2)),
    ):
        assert (cond.context, cond.context_mask) == (None, None)
        assert torch.equal(cond.vector, whole.vector)


def test_the_tokens_alone(text: TextTransformer, captions: list[str]) -> None:
    alone = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2, pooled=False)
    alone.load_state_dict(text.state_dict())
    alone.eval()
    assert (alone.context_width, alone.vector_width) == (16, None)
    batch = {"captions": captions[:3]}
    assert alone(batch).vector is None
    assert torch.equal(alone(batch).context, text(batch).context)


def test_nothing_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match=r"conditioner.tokens=false, pooled=false: gives nothing"):
        TextTransformer(tokens=False, pooled=False)


def test_padding_that_is_read(text: TextTransformer) -> None:
    """As latent diffusion has it: the padding's embedding is a token like others, here and for the backbone."""
    reads = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2, mask_padding=False)
    reads.load_state_dict(text.state_dict())
    prompt = {"captions": ["a big green star"]}
    before = reads.eval()(prompt)
    assert before.context_mask is None
    with torch.no_grad():
        reads.tokens.weight[0] *= -3
    assert not torch.allclose(reads(prompt).context[0, :3], before.context[0, :3], atol=1e-6)


def test_heads_of_another_width_without_bias() -> None:
    text = TextTransformer(vocabulary=320, width=16, depth=1, heads=2, head_width=3, qkv_bias=False)
    attention = text.blocks[0].attention
    assert attention.to_q.weight.shape == (6, 16)
    assert attention.to_out.weight.shape == (16, 6)
    assert attention.to_k.bias is None


def test_null_is_the_empty_prompt(text: TextTransformer) -> None:
    null, empty = text.null(2), text({"captions": ["", " "]})
    for name in ("context", "context_mask", "vector"):
        torch.testing.assert_close(getattr(null, name), getattr(empty, name))


def test_tokens_made_on_the_host_are_read_in_place_of_captions(text: TextTransformer, captions: list[str]) -> None:
    batch = text.as_tensors({"captions": captions, "images": 1})
    assert batch["images"] == 1
    assert torch.equal(text({"tokens": batch["tokens"]}).context, text({"captions": captions}).context)


def test_vector_is_the_mean_over_real_tokens(text: TextTransformer) -> None:
    cond = text({"captions": ["a big green star"]})
    torch.testing.assert_close(cond.vector[0], cond.context[0][cond.context_mask[0]].mean(0))


def test_a_prompt_does_not_depend_on_its_neighbours(text: TextTransformer, captions: list[str]) -> None:
    together, alone = text({"captions": captions[:3]}), text({"captions": captions[1:2]})
    torch.testing.assert_close(together.context[1:2], alone.context)


def test_padding_changes_no_real_token(text: TextTransformer) -> None:
    """Reading the padding's embedding differently leaves the real tokens as they are."""
    before = text({"captions": ["a big green star"]})
    with torch.no_grad():
        text.tokens.weight[0] += 5
    after = text({"captions": ["a big green star"]})
    real = before.context_mask[0]
    assert torch.equal(before.context[0][real], after.context[0][real])
    assert not torch.equal(before.context[0][~real], after.context[0][~real])


def test_every_token_sees_every_other(text: TextTransformer) -> None:
    """A bidirectional encoder: the last word changes the first token's state."""
    one, two = text({"captions": ["a big green star", "a big green circle"]}).context
    assert not torch.allclose(one[1], two[1], atol=1e-6)


def test_word_order_matters(text: TextTransformer) -> None:
    one, two = text({"captions": ["a red star", "star red a"]}).vector
    assert not torch.allclose(one, two, atol=1e-6)


def test_the_tokenizer_travels_with_the_weights(text: TextTransformer) -> None:
    file = io.BytesIO()
    torch.save(text.state_dict(), file)
    file.seek(0)
    other = TextTransformer(vocabulary=320, length=24, width=16, depth=2, heads=2)
    other.load_state_dict(torch.load(file, weights_only=True))
    other.prepare(["something else entirely"] * 10)  # keeps the loaded one
    prompt = {"captions": ["a big Green star, und mehr"]}
    assert torch.equal(other.eval()(prompt).context, text(prompt).context)


def test_without_a_tokenizer() -> None:
    fresh = TextTransformer(vocabulary=320, length=24, width=16, depth=1, heads=2)
    with pytest.raises(ValueError, match="no tokenizer yet"):
        fresh({"captions": ["a"]})
    other = TextTransformer(vocabulary=320, length=24, width=16, depth=1, heads=2)
    other.load_state_dict(fresh.state_dict())
    assert other.tokenizer is None


def test_too_long_a_caption_of_the_data_is_cut_and_counted(
    text: TextTransformer, caplog: pytest.LogCaptureFixture
) -> None:
    long = "a big green star " * 10
    text.prepare([long, "a star", long])
    assert "2 of 3 captions have more than conditioner.length=24 tokens and are cut" in caplog.text
    cond = text({"captions": [long, long + "above a red circle"]})
    assert bool(cond.context_mask.all())
    assert torch.equal(cond.context[0], cond.context[1])


class Counted:
    """So many captions, which are counted as they are read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, list[int]()

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> str:
        self.read.append(index)
        return f"a star with number {index}"


def test_a_bounded_sample_of_many_captions_is_read(caplog: pytest.LogCaptureFixture) -> None:
    """Always the same one, in order, once for the tokenizer and once for the lengths; a short list is read whole."""
    kept, read = [], []
    for count in (10**9, 10**9, MOST_CAPTIONS // 100):
        captions = Counted(count)
        conditioner = TextTransformer(vocabulary=320, length=4, width=16, depth=1, heads=2)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("ldmlab.conditioners.text.MOST_CAPTIONS", MOST_CAPTIONS // 100)
            conditioner.prepare(captions)
        kept.append(to_tensor(conditioner.tokenizer))  # type: ignore[arg-type]
        read.append(captions.read)
    assert torch.equal(kept[0], kept[1])
    assert read[0] == read[1] == sorted(set(read[0])) * 2
    assert read[2] == [*range(MOST_CAPTIONS // 100)] * 2
    assert len(read[0]) == 2 * (MOST_CAPTIONS // 100)
    assert f"{MOST_CAPTIONS // 100} of {MOST_CAPTIONS // 100} captions have more than" in caplog.text


def test_too_long_a_prompt_of_a_user_is_refused(text: TextTransformer) -> None:
    assert text.batch(["a big green star"]) == {"captions": ["a big green star"]}
    with pytest.raises(ValueError, match="tokens and the model reads 24"):
        text.batch(["a star", "a big green star " * 10])


def test_missing_captions(text: TextTransformer) -> None:
    with pytest.raises(ValueError, match="reads 'captions'"):
        text({"labels": [1]})


def test_gradients_reach_every_weight_but_the_padding(text: TextTransformer, captions: list[str]) -> None:
    text({"captions": captions[:3]}).vector.square().sum().backward()
    assert all(p.grad is not None for p in text.parameters())
    assert not bool(text.tokens.weight.grad[0].any())


def test_untrained_words_stay_apart() -> None:
    """The blocks' mean over the prompt must not drown the words, or binding them takes thousands of steps to learn."""
    torch.manual_seed(0)
    text = TextTransformer(vocabulary=300, length=24, width=64, depth=2, heads=4)
    text.prepare(["a big green star left of a small red circle"])
    with torch.no_grad():
        cond = text({"captions": ["green red green"]})
    first, second, third = torch.nn.functional.normalize(cond.context[0][cond.context_mask[0]][1:4], dim=-1)
    assert float(first @ second) < 0.5 < float(first @ third)
