"""Which tokens of a prompt belong to which of its words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WORD = re.compile(r"\w+|[^\w\s]")
"""A run of letters and digits, or a single mark of punctuation."""


@dataclass(frozen=True)
class PromptWords:
    """A prompt as a person reads it and as a model does.

    Attributes:
        words: in order, as written; marks of punctuation are words of their own.
        tokens: the positions of each word's tokens in the context; one word may have several, and has none where the
            prompt was cut before it.
        others: the positions of the begin mark, the end mark and the padding, in order.
    """

    words: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    others: tuple[int, ...]

    @property
    def length(self) -> int:
        """L, the number of positions in the context."""
        return 1 + max(*self.others, *(position for positions in self.tokens for position in positions))

    def find(self, phrase: str, key: str) -> list[int]:
        """The numbers of the words that a phrase stands for, at every place where it occurs.

        Args:
            phrase: one or more words; case does not matter.
            key: what the user gave it for, for the message.

        Raises:
            ValueError: the prompt lacks it; the words that there are are listed.
        """
        wanted = [part.casefold() for part in WORD.findall(phrase)]
        parts = [(part.casefold(), n) for n, word in enumerate(self.words) for part in WORD.findall(word)]
        known = [part for part, _ in parts]
        starts = [i for i in range(len(known)) if wanted and known[i : i + len(wanted)] == wanted]
        if not starts:
            raise ValueError(f"{key}: the prompt has no '{phrase}'; its words are {', '.join(self.words)}")
        return sorted({number for start in starts for _, number in parts[start : start + len(wanted)]})


def from_offsets(prompt: str, offsets: Sequence[tuple[int, int]], length: int) -> PromptWords:
    """Words of a prompt whose tokens are known by their characters, between a begin and an end mark.

    Args:
        prompt: the text.
        offsets: first and last character (exclusive) of each token.
        length: L, of the context.
    """
    words = list(WORD.finditer(prompt))
    tokens: list[list[int]] = [[] for _ in words]
    for position, (start, end) in enumerate(offsets, start=1):
        inside = [n for n, word in enumerate(words) if max(start, word.start()) < min(end, word.end())]
        following = [n for n, word in enumerate(words) if word.start() >= start]
        for number in inside or following[:1] or range(len(words))[-1:]:  # blanks go with the next word
            tokens[number].append(position)
    return _words((word.group() for word in words), tokens, length)


def from_pieces(pieces: Iterable[tuple[str, int]], length: int) -> PromptWords:
    """Words that are tokenized one by one: each with the number of its tokens, between a begin and an end mark."""
    words, tokens, position = [], [], 1
    for word, count in pieces:
        words.append(word)
        tokens.append(list(range(position, position + count)))
        position += count
    return _words(words, tokens, length)


def _words(words: Iterable[str], tokens: Sequence[Sequence[int]], length: int) -> PromptWords:
    read = [tuple(position for position in positions if position < length - 1) for positions in tokens]
    taken = {position for positions in read for position in positions}
    return PromptWords(
        tuple(words), tuple(read), tuple(position for position in range(length) if position not in taken)
    )
