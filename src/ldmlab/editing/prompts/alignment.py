"""Which words of an edited prompt go back to which words of the source prompt, and what their tokens' maps become.

Shapes: L tokens of the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.conditioners.words import PromptWords

Kind = Literal["keep", "swap", "insert", "delete"]


@dataclass(frozen=True)
class WordChange:
    """A run of source words and the run of target words that stands in its place; numbers of words."""

    kind: Kind
    source: range
    target: range


@dataclass(frozen=True)
class Alignment:
    """How maps go from the tokens of one prompt to those of another.

    Attributes:
        changes: from the first word to the last.
        mapper: weight of the source token's map (row) in the target token's (column). A row sums to 1, or to 0 where
            the token was deleted: a word's attention is handed on whole, shared among the tokens that replace it.
        mapped: 1 where a target token has a source, 0 where it keeps its own map.
    """

    changes: tuple[WordChange, ...]
    mapper: Float[Tensor, "L L"]
    mapped: Float[Tensor, " L"]


def align(source: PromptWords, target: PromptWords) -> Alignment:
    """Align two prompts by their words.

    Words that both have, in the same order, go back to each other. A run of other words goes back to the run of source
    words in its place (Hertz et al. 2022, word swap), however many there are on either side. Words with nothing in
    their place are new (phrase insertion).
    """
    changes = tuple(word_changes(source.words, target.words))
    mapper = torch.zeros(source.length, target.length)
    for change in changes:
        for mine, theirs in _pairs(change):
            _hand_on(mapper, _tokens(source, mine), _tokens(target, theirs))
    for mark, its_counterpart in zip(source.others, target.others, strict=False):
        mapper[mark, its_counterpart] = 1.0
    mapper /= mapper.sum(dim=1, keepdim=True).clamp(min=1)  # a token may belong to two words
    return Alignment(changes, mapper, (mapper.sum(dim=0) > 0).float())


def word_changes(source: Sequence[str], target: Sequence[str]) -> Iterator[WordChange]:
    """The runs of words that are kept, swapped, inserted and deleted, in order."""
    i = j = 0
    for next_i, next_j in [*_common(source, target), (len(source), len(target))]:
        if i < next_i or j < next_j:
            kind: Kind = "swap" if i < next_i and j < next_j else "delete" if i < next_i else "insert"
            yield WordChange(kind, range(i, next_i), range(j, next_j))
        if next_i < len(source) and next_j < len(target):
            yield WordChange("keep", range(next_i, next_i + 1), range(next_j, next_j + 1))
        i, j = next_i + 1, next_j + 1


def _common(source: Sequence[str], target: Sequence[str]) -> list[tuple[int, int]]:
    """A longest common subsequence: Needleman & Wunsch (1970) with gap 0, match 1 and mismatch -1."""
    mine, theirs = ([word.casefold() for word in words] for words in (source, target))
    best = [[0] * (len(theirs) + 1) for _ in range(len(mine) + 1)]
    for i in reversed(range(len(mine))):
        for j in reversed(range(len(theirs))):
            matched = best[i + 1][j + 1] + 1 if mine[i] == theirs[j] else 0
            best[i][j] = max(best[i + 1][j], best[i][j + 1], matched)
    pairs = []
    i = j = 0
    while i < len(mine) and j < len(theirs):
        if mine[i] == theirs[j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif best[i + 1][j] >= best[i][j + 1]:
            i += 1
        else:
            j += 1
    return pairs


def _pairs(change: WordChange) -> Iterator[tuple[range, range]]:
    """A change word by word where both sides have as many, as a whole otherwise."""
    if len(change.source) == len(change.target):
        for i, j in zip(change.source, change.target, strict=True):
            yield range(i, i + 1), range(j, j + 1)
    else:
        yield change.source, change.target


def _tokens(prompt: PromptWords, words: range) -> list[int]:
    return [token for word in words for token in prompt.tokens[word]]


def _hand_on(mapper: Tensor, source: Sequence[int], target: Sequence[int]) -> None:
    """Token by token where both sides have as many; otherwise each target token gets an equal share of every map."""
    if len(source) == len(target):
        for mine, theirs in zip(source, target, strict=True):
            mapper[mine, theirs] = 1.0
    else:
        for mine in source:
            for theirs in target:
                mapper[mine, theirs] = 1 / len(target)
