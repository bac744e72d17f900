"""A byte-level BPE tokenizer fitted to the training captions, stored inside the model's weights.

Every text can be tokenized: words that the captions never held fall apart into known pieces.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Bool, Int, UInt8
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

PAD, BEGIN, END = "<pad>", "<begin>", "<end>"
PAD_ID, BEGIN_ID, END_ID = 0, 1, 2


def fit_tokenizer(captions: Iterable[str], vocabulary: int) -> Tokenizer:
    """Learn byte-pair merges (Sennrich et al. 2016) from captions, in lower case.

    Args:
        captions: training text.
        vocabulary: most entries, of which 256 bytes and 3 special tokens are always there.

    Raises:
        ValueError: the vocabulary cannot hold these.
    """
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    if vocabulary < len(alphabet) + 3:
        raise ValueError(f"conditioner.vocabulary={vocabulary}: use at least {len(alphabet) + 3} (bytes, 3 specials)")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


def to_tensor(tokenizer: Tokenizer) -> UInt8[Tensor, " bytes"]:
    """The tokenizer's JSON as bytes in a tensor, which every checkpoint format can hold."""
    return torch.frombuffer(bytearray(tokenizer.to_str().encode()), dtype=torch.uint8)


def from_tensor(data: UInt8[Tensor, " bytes"]) -> Tokenizer:
    """The inverse of `to_tensor`."""
    return Tokenizer.from_str(bytes(data.cpu().tolist()).decode())


def encode(tokenizer: Tokenizer, prompts: Sequence[str], length: int) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Token ids between begin and end marks, cut or padded to L, and True where a token is real."""
    ids = torch.full((len(prompts), length), PAD_ID)
    for row, words in enumerate(_words(tokenizer, prompts)):
        tokens = [BEGIN_ID, *words[: length - 2], END_ID]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, ids != PAD_ID


def lengths(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[int]:
    """How many tokens each prompt has, with the begin and end marks."""
    return [len(words) + 2 for words in _words(tokenizer, prompts)]


def _words(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[list[int]]:
    tokenizer.encode_special_tokens = True  # "<pad>" in a prompt is text, not padding
    return [encoding.ids for encoding in tokenizer.encode_batch(list(prompts))]


def check_length(prompt: str, tokens: int, length: int) -> None:
    """Refuse a prompt that does not fit.

    Raises:
        ValueError: it names the prompt's beginning, its tokens and the limit.
    """
    if tokens > length:
        shown = prompt if len(prompt) <= 60 else prompt[:57] + "..."
        raise ValueError(f"prompt '{shown}' has {tokens} tokens and the model reads {length}; shorten the prompt")
