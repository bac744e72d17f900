"""Alignment of prompts: fixed cases, and properties that hold for any two prompts."""

from __future__ import annotations

import pytest
import torch

from ldmlab.conditioners.clip import CLIPText
from ldmlab.conditioners.text import TextTransformer
from ldmlab.conditioners.words import PromptWords, from_pieces
from ldmlab.editing.prompts.alignment import WordChange, align, word_changes

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given, settings
from hypothesis import strategies as st

LENGTH = 77


def clip() -> CLIPText:
    with torch.device("meta"):
        return CLIPText(width=8, depth=1, heads=1)


def fitted() -> TextTransformer:
    conditioner = TextTransformer(vocabulary=300, length=LENGTH, width=8, depth=1, heads=1)
    conditioner.prepare(["a small red circle left of a big blue square", "a green star"] * 3)
    return conditioner


CONDITIONERS = {"clip": clip(), "text": fitted()}


def changes(source: str, target: str) -> list[tuple[str, str, str]]:
    mine, theirs = source.split(), target.split()
    return [
        (change.kind, " ".join(mine[i] for i in change.source), " ".join(theirs[j] for j in change.target))
        for change in word_changes(mine, theirs)
        if change.kind != "keep"
    ]


def test_swaps_insertions_and_deletions_are_told_apart() -> None:
    assert changes("a red circle", "a blue circle") == [("swap", "red", "blue")]
    assert changes("an orange cat", "an big tabby cat") == [("swap", "orange", "big tabby")]
    assert changes("a cat", "a sleepy old cat") == [("insert", "", "sleepy old")]
    assert changes("a sleepy cat on a mat", "a cat on a mat") == [("delete", "sleepy", "")]
    assert changes("a cat", "a cat on a mat") == [("insert", "", "on a mat")]
    assert changes("a red circle left of a red square", "a red circle left of a green square") == [
        ("swap", "red", "green")
    ]
    assert changes("A Cat", "a cat") == []


def words(*pieces: tuple[str, int]) -> PromptWords:
    return from_pieces(pieces, 12)


def test_tokens_after_a_word_of_another_length_go_back_to_their_own() -> None:
    """Where the reference implementation is wrong: "orange cat" to "big tabby cat", with words of several tokens."""
    source = words(("orange", 2), ("cat", 1), ("mat", 2))
    target = words(("big", 1), ("tabby", 3), ("cat", 1), ("mat", 2))
    mapper = align(source, target).mapper
    for token in (1, 2):  # both tokens of "orange" hand a quarter of their map to each of the four of "big tabby"
        assert mapper[token, 1:5].tolist() == [0.25] * 4
    assert mapper[3].nonzero().flatten().tolist() == [5]  # cat
    assert mapper[4].nonzero().flatten().tolist() == [6]  # mat, token by token
    assert mapper[5].nonzero().flatten().tolist() == [7]
    assert mapper[0].nonzero().flatten().tolist() == [0]  # begin mark
    assert mapper[6].nonzero().flatten().tolist() == [8]  # end mark


def test_words_swapped_one_by_one_keep_their_places() -> None:
    mapper = align(words(("red", 1), ("star", 1)), words(("blue", 1), ("moon", 2))).mapper
    assert mapper[1].nonzero().flatten().tolist() == [1]
    assert mapper[2, 2:4].tolist() == [0.5, 0.5]


def test_blanks_and_punctuation_shift_no_mark() -> None:
    for conditioner in CONDITIONERS.values():
        for prompt in ("a  red\tcircle", " a red circle ", "a red circle"):
            found = conditioner.words(prompt)
            assert found.words == ("a", "red", "circle")
            assert sorted(t for tokens in found.tokens for t in tokens) == list(range(1, found.others[1]))


def test_words_are_found_as_they_are_written() -> None:
    for conditioner in CONDITIONERS.values():
        found = conditioner.words('"Don\'t" stop the 42 cats...')
        for phrase in ("don't", "stop the", "42", "cats"):
            numbers = found.find(phrase, "preserve")
            assert "".join(found.words[n] for n in numbers).casefold() == phrase.replace(" ", "")
        with pytest.raises(ValueError, match=r"preserve: the prompt has no 'dog'; its words are"):
            found.find("dog", "preserve")


def test_inserted_words_keep_their_own_maps_and_deleted_ones_hand_on_none() -> None:
    found = align(words(("a", 1), ("cat", 1)), words(("a", 1), ("big", 2), ("cat", 1)))
    assert found.mapped[:6].tolist() == [1, 1, 0, 0, 1, 1]
    found = align(words(("a", 1), ("big", 2), ("cat", 1)), words(("a", 1), ("cat", 1)))
    assert found.mapper[2:4].abs().sum() == 0
    assert found.mapped[:4].tolist() == [1, 1, 1, 1]
    assert WordChange("delete", range(1, 2), range(1, 1)) in found.changes


WORDS = ["", "a", "red", "Red", "supercalifragilistic", "tabby,", "don't", "ünïcödé", "猫", "☂", "7", "."]
PROMPTS = st.one_of(
    st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join),
    st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=18),
)


@settings(max_examples=150, deadline=None)
@given(source=PROMPTS, target=PROMPTS, name=st.sampled_from(sorted(CONDITIONERS)))
def test_any_two_prompts(source: str, target: str, name: str) -> None:
    """Every target token has a source or keeps its own map, and every map is handed on whole or not at all."""
    mine, theirs = (CONDITIONERS[name].words(prompt) for prompt in (source, target))
    for prompt in (mine, theirs):
        positions = [*prompt.others, *(token for tokens in prompt.tokens for token in tokens)]
        assert max(positions) == LENGTH - 1
        assert set(range(LENGTH)) == set(positions)
    found = align(mine, theirs)
    handed_on = found.mapper.sum(dim=1)
    assert bool((torch.isclose(handed_on, torch.ones(LENGTH)) | (handed_on == 0)).all())
    assert torch.equal(found.mapped, (found.mapper > 0).any(dim=0).float())
    ends = [
        max(t for tokens in prompt.tokens for t in tokens) + 1 if any(prompt.tokens) else 1 for prompt in (mine, theirs)
    ]
    assert found.mapper[0, 0] == 1
    assert found.mapper[*ends] == 1
    assert sorted(n for change in found.changes for n in change.source) == list(range(len(mine.words)))
    assert sorted(n for change in found.changes for n in change.target) == list(range(len(theirs.words)))
    inserted = {t for c in found.changes if c.kind == "insert" for n in c.target for t in theirs.tokens[n]}
    others = {t for c in found.changes if c.kind != "insert" for n in c.target for t in theirs.tokens[n]}
    assert all(found.mapped[token] == 0 for token in inserted - others)
    deleted = {t for c in found.changes if c.kind == "delete" for n in c.source for t in mine.tokens[n]}
    kept = {t for c in found.changes if c.kind != "delete" for n in c.source for t in mine.tokens[n]}
    assert all(handed_on[token] == 0 for token in deleted - kept)


@settings(max_examples=60, deadline=None)
@given(prompt=PROMPTS, name=st.sampled_from(sorted(CONDITIONERS)))
def test_a_prompt_goes_back_to_itself(prompt: str, name: str) -> None:
    words = CONDITIONERS[name].words(prompt)
    found = align(words, words)
    assert all(change.kind == "keep" for change in found.changes)
    assert bool((found.mapper.diagonal() > 0).all())
