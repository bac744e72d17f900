"""Tokenizers of prompt models, stored inside the model's weights.

Ours is a byte-level BPE fitted to the training captions, by which every text can be tokenized: words that the captions
never held fall apart into known pieces. BERT's WordPiece is read for public weights that were trained with it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Int, UInt8
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

from ldmlab.files import read_text

PAD, BEGIN, END = "<pad>", "<begin>", "<end>"
PAD_ID, BEGIN_ID, END_ID = 0, 1, 2
BERT_PAD, BERT_BEGIN, BERT_END, BERT_UNKNOWN = "[PAD]", "[CLS]", "[SEP]", "[UNK]"
MARKS = (PAD, BEGIN, END)
BERT_MARKS = (BERT_PAD, BERT_BEGIN, BERT_END, BERT_UNKNOWN)
MOST_BYTES = 1 << 25
"""Of a stored tokenizer."""


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
    tokenizer = _byte_level(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*MARKS],
        initial_alphabet=sorted(alphabet),
        show_progress=False,
    )
    tokenizer.train_from_iterator(captions, trainer)
    return tokenizer


def _byte_level(model: models.BPE) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase(), normalizers.Strip()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _wordpiece(words: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(words, unk_token=BERT_UNKNOWN))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def read_wordpiece(path: Path) -> Tokenizer:
    """BERT's tokenizer in lower case (Devlin et al. 2019) with the words of a vocab.txt, one a line.

    Raises:
        ValueError: there is no such file, or it lacks BERT's marks.
    """
    if not path.is_file():
        raise ValueError(f"tokenizer={path}: no such file; give the vocab.txt of bert-base-uncased")
    try:
        text = read_text(path, MOST_BYTES)
    except (ValueError, OSError) as error:
        raise ValueError(
            f"tokenizer={path}: cannot be read ({error}); give the vocab.txt of bert-base-uncased"
        ) from error
    words = {word: number for number, word in enumerate(text.splitlines())}
    for mark in BERT_MARKS:
        if mark not in words:
            raise ValueError(f"tokenizer={path}: lacks '{mark}'; give the vocab.txt of bert-base-uncased")
    return _wordpiece(words)


def special_tokens(tokenizer: Tokenizer) -> tuple[int, int, int]:
    """The ids of the padding, begin and end tokens."""
    names = MARKS if tokenizer.token_to_id(PAD) is not None else BERT_MARKS[:3]
    pad, begin, end = (_number(tokenizer, name) for name in names)
    return pad, begin, end


def _number(tokenizer: Tokenizer, token: str) -> int:
    number: int | None = tokenizer.token_to_id(token)
    if number is None:
        raise ValueError(f"conditioner: its tokenizer lacks '{token}'")
    return number


def to_tensor(tokenizer: Tokenizer) -> UInt8[Tensor, " bytes"]:
    """The tokenizer's JSON as bytes in a tensor, which every checkpoint format can hold."""
    return torch.frombuffer(bytearray(tokenizer.to_str().encode()), dtype=torch.uint8)


def from_tensor(data: UInt8[Tensor, " bytes"]) -> Tokenizer:
    """The tokenizer that `to_tensor` put into a tensor.

    Of the JSON, which may be a stranger's, words and merges are read and nothing else: how text is normalised and split
    is as `fit_tokenizer` and `read_wordpiece` make it, since patterns and replacements of a file could run without end.

    Raises:
        ValueError: it holds neither a byte-level BPE nor a WordPiece tokenizer.
    """
    try:
        model = _model_of(data)
        words, wordpiece = _words_of(model), model.get("type") == "WordPiece"
        for mark in BERT_MARKS if wordpiece else MARKS:
            _require(mark in words, f"it lacks '{mark}'")
        if wordpiece:
            return _wordpiece(words)
        tokenizer = _byte_level(models.BPE(words, _merges_of(model, words)))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"conditioner: its tokenizer is broken ({str(error)[:100]})") from error
    tokenizer.add_special_tokens([*MARKS])
    return tokenizer


def _model_of(data: Tensor) -> dict[str, Any]:
    _require(data.dtype == torch.uint8 and data.ndim == 1, "it is no row of bytes")
    _require(len(data) <= MOST_BYTES, f"it has more than {MOST_BYTES} bytes")
    try:
        model = json.loads(data.cpu().numpy().tobytes())["model"]
    except RecursionError as error:
        raise ValueError("its JSON is nested too deep") from error
    _require(isinstance(model, dict), "it has no model")
    return dict(model)


def _words_of(model: Mapping[str, Any]) -> dict[str, int]:
    """Words and their numbers, each once."""
    words: Any = model.get("vocab")
    _require(isinstance(words, dict) and all(type(number) is int for number in words.values()), "it has no vocabulary")
    numbers = {*words.values()}
    _require(len(numbers) == len(words) and min(numbers, default=-1) >= 0, "its words are not numbered")
    return dict(words)


def _merges_of(model: Mapping[str, Any], words: Mapping[str, int]) -> list[tuple[str, str]]:
    """Pairs of words that are a word; older files hold each as a string. Of others the library panics."""
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in model["merges"]]
    for pair in pairs:
        fits = isinstance(pair, list) and len(pair) == 2 and all(isinstance(word, str) for word in pair)
        _require(fits and all(word in words for word in (*pair, "".join(pair))), "its merges are of no words")
    return [(first, second) for first, second in pairs]


def _require(fits: bool, message: str) -> None:
    if not fits:
        raise ValueError(message)


def encode(tokenizer: Tokenizer, prompts: Sequence[str], length: int) -> tuple[Int[Tensor, "B L"], Bool[Tensor, "B L"]]:
    """Token ids between begin and end tokens, cut or padded to L, and True where a token is real."""
    pad, begin, end = special_tokens(tokenizer)
    ids = torch.full((len(prompts), length), pad)
    for row, words in enumerate(_words(tokenizer, prompts)):
        tokens = [begin, *words[: length - 2], end]
        ids[row, : len(tokens)] = torch.tensor(tokens)
    return ids, ids != pad


def encode_nothing(tokenizer: Tokenizer, length: int, device: torch.device) -> Int[Tensor, "1 L"]:
    """The ids of the empty prompt as `encode` gives them, made on a device."""
    pad, begin, end = special_tokens(tokenizer)
    ids = torch.full((1, length), pad, device=device)
    ids[:, 0], ids[:, 1] = begin, end
    return ids


def token_counts(tokenizer: Tokenizer, prompts: Sequence[str]) -> list[int]:
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
