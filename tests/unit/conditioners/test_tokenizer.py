"""The tokenizer takes any text, and travels as a tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor

from ldmlab.conditioners.tokenizer import (
    BEGIN_ID,
    END_ID,
    PAD_ID,
    check_length,
    encode,
    encode_nothing,
    fit_tokenizer,
    from_tensor,
    read_wordpiece,
    to_tensor,
    token_counts,
)

PROMPTS = [
    "a big green star",
    "A RED circle!",
    "zebra quokka 123",
    "ein grüner Stern, 緑の星, \U0001f7e2",
    "  spaces  ",
]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return fit_tokenizer(["a small red circle", "a big green star"] * 10, 320)


@pytest.mark.parametrize("prompt", PROMPTS)
def test_every_text_comes_back(tokenizer: Tokenizer, prompt: str) -> None:
    ids, mask = encode(tokenizer, [prompt], 120)
    row = ids[0][mask[0]].tolist()
    assert (row[0], row[-1]) == (BEGIN_ID, END_ID)
    assert tokenizer.decode(row[1:-1]).strip() == prompt.lower().strip()


def test_known_words_are_short_and_unknown_ones_fall_apart(tokenizer: Tokenizer) -> None:
    assert len(tokenizer.encode("a small red circle").ids) == 4
    assert len(tokenizer.encode("quokka").ids) > 3
    assert tokenizer.get_vocab_size() <= 320


def test_padding_is_masked(tokenizer: Tokenizer) -> None:
    ids, mask = encode(tokenizer, ["a red circle", ""], 8)
    assert ids.shape == mask.shape == (2, 8)
    assert mask.sum(1).tolist() == [5, 2]
    assert ids[1].tolist() == [BEGIN_ID, END_ID, *[PAD_ID] * 6]


def test_marks_written_in_a_prompt_are_text(tokenizer: Tokenizer) -> None:
    ids, mask = encode(tokenizer, ["a <pad> <end> star"], 40)
    inner = ids[0][mask[0]].tolist()[1:-1]
    assert not {PAD_ID, BEGIN_ID, END_ID} & set(inner)
    assert mask[0].tolist() == [True] * (len(inner) + 2) + [False] * (38 - len(inner))


def test_round_trip_through_a_tensor(tokenizer: Tokenizer) -> None:
    other = from_tensor(to_tensor(tokenizer))
    for prompt in [*PROMPTS, "<end>"]:
        assert encode(other, [prompt], 120)[0].tolist() == encode(tokenizer, [prompt], 120)[0].tolist()


def test_the_same_captions_give_the_same_tokenizer() -> None:
    captions = ["a small red circle", "a big green star"]
    assert fit_tokenizer(captions, 300).to_str() == fit_tokenizer(captions, 300).to_str()


def test_too_long_a_prompt_is_cut_before_the_end_mark(tokenizer: Tokenizer) -> None:
    whole, mask = encode(tokenizer, ["a small red circle"], 6)
    assert bool(mask.all())
    cut, mask = encode(tokenizer, ["a small red circle"], 5)
    assert bool(mask.all())
    assert cut[0].tolist() == [*whole[0, :4].tolist(), END_ID]


def test_lengths_count_the_marks(tokenizer: Tokenizer) -> None:
    assert token_counts(tokenizer, ["a small red circle", ""]) == [6, 2]


def test_too_long_a_prompt_is_refused_and_the_longest_fits() -> None:
    check_length("a small red circle", 6, 6)
    with pytest.raises(ValueError, match="prompt 'a small red circle' has 6 tokens and the model reads 5; shorten"):
        check_length("a small red circle", 6, 5)
    with pytest.raises(ValueError, match=r"prompt 'a{57}\.\.\.' has"):
        check_length("a" * 500, 502, 5)


def test_too_small_a_vocabulary() -> None:
    with pytest.raises(ValueError, match=r"conditioner.vocabulary=100: use at least 259"):
        fit_tokenizer(["a"], 100)


BERT_WORDS = ["[PAD]", "a", "red", "star", "##s", "[UNK]", "[CLS]", "[SEP]", "!"]


def test_wordpiece_of_bert(tmp_path: Path) -> None:
    """Lower case, pieces of words, and the marks wherever the file has them; it survives a checkpoint."""
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(BERT_WORDS) + "\n")
    for tokenizer in (read_wordpiece(path), from_tensor(to_tensor(read_wordpiece(path)))):
        ids, mask = encode(tokenizer, ["A red STARS!", "quark", "[CLS]"], 8)
        assert ids.tolist() == [[6, 1, 2, 3, 4, 8, 7, 0], [6, 5, 7, 0, 0, 0, 0, 0], [6, 5, 5, 5, 7, 0, 0, 0]]
        assert mask.sum(dim=1).tolist() == [7, 3, 5]
        assert torch.equal(encode_nothing(tokenizer, 8, torch.device("cpu")), encode(tokenizer, [""], 8)[0])


def test_wordpiece_needs_berts_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("a\nb\n")
    with pytest.raises(ValueError, match=r"tokenizer=.*words\.txt: lacks '\[PAD\]'; give the vocab\.txt"):
        read_wordpiece(tmp_path / "words.txt")
    with pytest.raises(ValueError, match=r"tokenizer=.*absent: no such file"):
        read_wordpiece(tmp_path / "absent")


def as_tensor(content: Any) -> Tensor:
    text = content if isinstance(content, str) else json.dumps(content)
    return torch.frombuffer(bytearray(text.encode()), dtype=torch.uint8)


def bpe(**changes: Any) -> dict[str, Any]:
    """A whole tokenizer's JSON with entries of its model set."""
    whole: dict[str, Any] = json.loads(fit_tokenizer(PROMPTS, 300).to_str())
    return {**whole, "model": {**whole["model"], **changes}}


MARKED = {"<pad>": 0, "<begin>": 1, "<end>": 2}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "5",
        "[" * 100_000,
        {"model": None},
        {"model": []},
        {"model": {}},
        bpe(vocab=None),
        bpe(vocab="/etc/passwd", merges="/etc/passwd"),
        bpe(vocab={"a": 0}),
        bpe(vocab={**MARKED, "a": 2}),
        bpe(vocab={**MARKED, "a": -1}),
        bpe(vocab={**MARKED, "a": "3"}),
        bpe(vocab={**MARKED, "a": 10**30}),
        bpe(merges=None),
        bpe(merges=[["a"]]),
        bpe(merges=[["a", "absent"]]),
        bpe(merges=["a b c"]),
        bpe(merges=[5]),
        bpe(merges=[["\u0120a", "\u0120a"]]),  # two words whose joint is none
        {"model": {"type": "WordPiece", "vocab": {"[PAD]": 0}}},
    ],
    ids=range(21),
)
def test_a_broken_tokenizer_is_refused(content: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="conditioner: its tokenizer is broken"):
        from_tensor(as_tensor(content))
    assert capfd.readouterr().err == ""  # of some the library panics, aloud


@pytest.mark.parametrize("tensor", [torch.zeros(3), torch.zeros(3, 3, dtype=torch.uint8), torch.tensor(5)])
def test_a_tokenizer_is_a_row_of_bytes(tensor: Tensor) -> None:
    with pytest.raises(ValueError, match="its tokenizer is broken"):
        from_tensor(tensor)


def test_of_a_stored_tokenizer_words_and_merges_are_read_and_nothing_else() -> None:
    """A file's own replacements could make a prompt as long as they like, and its patterns run without end."""
    hostile = bpe()
    blow_up = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 100}
    hostile["normalizer"] = {"type": "Sequence", "normalizers": [blow_up] * 8}
    hostile["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"Regex": "(a+)+$"},
        "behavior": "Isolated",
        "invert": False,
    }
    hostile["truncation"] = {"direction": "Right", "max_length": 1, "strategy": "LongestFirst", "stride": 0}
    good = fit_tokenizer(PROMPTS, 300)
    assert from_tensor(as_tensor(hostile)).to_str() == good.to_str() == from_tensor(to_tensor(good)).to_str()


def test_merges_of_older_files_are_strings() -> None:
    whole = bpe()
    older = bpe(merges=[" ".join(pair) for pair in whole["model"]["merges"]])
    assert from_tensor(as_tensor(older)).to_str() == fit_tokenizer(PROMPTS, 300).to_str()
