"""Tokenizers of prompt models, stored inside the model's weights.

Ours is a byte-level BPE fitted to the training captions, by which every text can be tokenized: words that the captions
never held fall apart into known pieces. BERT's WordPiece is read for public weights that were trained with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from jaxtyping import Bool, Int, UInt8
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

PAD, BEGIN, END = "<pad>", "<begin>", "<end>"
PAD_ID, BEGIN_ID, END_ID = 0, 1, 2
BERT_PAD, BERT_BEGIN, BERT_END, BERT_UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"


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


def read_wordpiece(path: Path) -> Tokenizer:
    """BERT's tokenizer in lower case (Devlin et al. 2019) with the words of a vocab.txt, one a line.

    Raises:
        ValueError: there is no such file, or it lacks BERT's marks.
    """
    if not path.is_file():
        raise ValueError(f"tokenizer={path}: no such file; give the vocab.txt of bert-base-uncased")
    words = {word: number for number, word in enumerate(path.read_text(encoding="utf-8").splitlines())}
    for mark in (BERT_PAD, BERT_BEGIN, BERT_END, BERT_UNKNOWN):
        if mark not in words:
            raise ValueError(f"tokenizer={path}: lacks '{mark}'; give the vocab.txt of bert-base-uncased")
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=BERT_UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def marks(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The ids of padding, begin and end."""
    names = (PAD, BEGIN, END) if tokenizer.token_to_id(PAD) is not None else (BERT_PAD, BERT_BEGIN, BERT_END)
    pad, begin, end = (tokenizer.get_vocab()[name] for name in names)
    return pad, begin, end


def to_tensor(tokenizer: Tokenizer) -> UInt8[Tensor, " bytes"]:
    """The tokenizer's JSON as bytes in a tensor, which every checkpoint format can hold."""
    return torch.frombuffer(bytearray(tokenizer.to_str().encode()), dtype=torch.uint8)


def from_tensor(data: UInt8[Tensor, " bytes"]) -> Tokenizer:
    """The inverse of `to_tensor`."""
    return Tokenizer.from_str(bytes(data.cpu().tolist()).decode())


def encode(tokenizer: Tokenizer, prompts: Sequence[str], length: int) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Token ids between begin and end marks, cut or padded to L, and True where a token is real."""
    pad, begin, end = marks(tokenizer)
    ids = torch.full((len(prompts), length), pad)
    for row, words in enumerate(_words(tokenizer, prompts)):
        tokens = [begin, *words[: length - 2], end]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, ids != pad


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
