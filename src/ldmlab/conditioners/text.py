"""A Transformer prompt model trained jointly with the diffusion model, as in latent diffusion (Rombach et al. 2022).

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from tokenizers import Tokenizer
from torch import Tensor, nn

from ldmlab.backbones.attention_layers import Attention
from ldmlab.conditioners.base import Captions, Conditioner, expand_rows, require_key
from ldmlab.conditioners.tokenizer import (
    check_length,
    encode,
    encode_nothing,
    fit_tokenizer,
    from_tensor,
    special_tokens,
    to_tensor,
    token_counts,
)
from ldmlab.conditioners.words import PromptWords, from_offsets
from ldmlab.types import AttentionSite, Conditioning

log = logging.getLogger(__name__)
MOST_CAPTIONS = 100_000
"""That a tokenizer is fitted to: more of them change its words little, and take time at every start."""
CHUNK = 1024


class EncoderBlock(nn.Module):
    """Pre-norm self-attention and MLP; every token sees every other."""

    def __init__(
        self, width: int, heads: int, head_width: int | None, qkv_bias: bool, site: AttentionSite | None = None
    ) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = Attention(width, heads, head_width, qkv_bias=qkv_bias, site=site)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L D"]:
        """The tokens after self-attention and MLP; those that `mask` leaves out are not attended to."""
        x = x + self.attention(self.attention_norm(x), mask=mask)
        return x + self.mlp(self.mlp_norm(x))


class TextTransformer(Conditioner):
    """Gives `context` (token by token), `context_mask` and `vector` (the mean over real tokens).

    Either can be left out: `vector` alone makes backbones comparable that read no tokens, `context` alone is latent
    diffusion's prompt model. Its tokenizer is fitted by `prepare` and travels with the weights. The null condition is
    the empty prompt.

    Args:
        vocabulary: rows of the token table.
        length: L, the most tokens of a prompt, with the begin and end marks.
        width: D.
        depth: number of blocks.
        heads: attention heads.
        head_width: of the attention; D / heads if not given.
        qkv_bias: whether queries, keys and values have a bias.
        mask_padding: whether padded tokens are left out of attention here, and of `context` by `context_mask`; latent
            diffusion lets them be read.
        tokens: whether it gives `context`.
        pooled: whether it gives `vector`.
    """

    reads = frozenset({"captions"})

    def __init__(
        self,
        vocabulary: int = 1024,
        length: int = 32,
        width: int = 192,
        depth: int = 3,
        heads: int = 4,
        head_width: int | None = None,
        qkv_bias: bool = True,
        mask_padding: bool = True,
        tokens: bool = True,
        pooled: bool = True,
    ) -> None:
        super().__init__()
        if not (tokens or pooled):
            raise ValueError("conditioner.tokens=false, pooled=false: gives nothing; set one of them to true")
        self.length = length
        self.vocabulary = vocabulary
        self.mask_padding = mask_padding
        self.vector_width = width if pooled else None
        self.context_width = width if tokens else None
        self.tokenizer: Tokenizer | None = None
        self.tokens = nn.Embedding(vocabulary, width)
        self.positions = nn.Parameter(torch.empty(length, width))
        sites = (AttentionSite(f"text.{i}", "self", (1, length)) for i in range(depth))
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, head_width, qkv_bias, site) for site in sites)
        self.norm = nn.LayerNorm(width)
        # As large as what the blocks add: with a small table, attention's mean over the prompt drowns the words.
        nn.init.normal_(self.tokens.weight, std=1.0)
        nn.init.normal_(self.positions, std=0.3)

    def prepare(self, captions: Captions) -> None:
        """Fit the tokenizer, unless one was loaded with the weights, and tell how many captions will be cut.

        Of more than `MOST_CAPTIONS`, as many are drawn for both, always the same ones.
        """
        rows = _drawn(len(captions))
        if self.tokenizer is None:
            self.tokenizer = fit_tokenizer((captions[row] for row in rows), self.vocabulary)
        longer = 0
        for start in range(0, len(rows), CHUNK):
            some = [captions[row] for row in rows[start : start + CHUNK]]
            longer += sum(tokens > self.length for tokens in token_counts(self.tokenizer, some))
        if longer:
            message = "%d of %d captions have more than conditioner.length=%d tokens and are cut"
            log.warning(message, longer, len(rows), self.length)

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """What `forward` reads, for prompts as a user types them.

        Raises:
            ValueError: a prompt has more than L tokens and would be cut.
        """
        for prompt, tokens in zip(prompts, token_counts(self._fitted(), prompts), strict=True):
            check_length(prompt, tokens, self.length)
        return super().batch(prompts)

    def words(self, prompt: str) -> PromptWords:
        """Which positions of `context` belong to which words of a prompt.

        Raises:
            ValueError: the tokenizer has not been fitted.
        """
        if self.context_width is None:
            return super().words(prompt)
        return from_offsets(prompt, self._fitted().encode(prompt).offsets, self.length)

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Read `batch["captions"]`, B strings, each cut after L tokens; or `batch["tokens"]`, made by `as_tensors`."""
        return self._encode(self.as_tensors(batch)["tokens"].to(self.positions.device))

    def as_tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with its "captions" as "tokens" (B, L), integers on the CPU."""
        if "tokens" in batch:
            return batch
        ids, _ = encode(self._fitted(), require_key(batch, "captions", "text"), self.length)
        return {**batch, "tokens": ids}

    def stages(self) -> list[nn.Module]:
        """Its blocks, in the order in which they run."""
        return list(self.blocks)

    def null(self, n: int) -> Conditioning:
        """n times the empty prompt, which is encoded once."""
        ids = encode_nothing(self._fitted(), self.length, self.positions.device)
        return self._encode(ids).map(lambda field: expand_rows(field, n))

    def _fitted(self) -> Tokenizer:
        if self.tokenizer is None:
            raise ValueError("conditioner 'text' has no tokenizer yet: load trained weights, or call prepare(captions)")
        self.tokenizer.encode_special_tokens = True  # "<pad>" in a prompt is text, not padding
        return self.tokenizer

    def _encode(self, ids: Int[Tensor, "B L"]) -> Conditioning:
        mask = ids != special_tokens(self._fitted())[0]
        hidden = self.tokens(ids) + self.positions
        for block in self.blocks:
            hidden = block(hidden, mask if self.mask_padding else None)
        states = self.norm(hidden)
        vector = _mean_of_real(states, mask) if self.vector_width is not None else None
        if self.context_width is None:
            return Conditioning(vector=vector)
        return Conditioning(states, mask if self.mask_padding else None, vector)

    def get_extra_state(self) -> Tensor:
        """The tokenizer as bytes; empty before `prepare`."""
        return torch.empty(0, dtype=torch.uint8) if self.tokenizer is None else to_tensor(self.tokenizer)

    def set_extra_state(self, state: Tensor) -> None:
        """Take over a tokenizer saved with weights.

        Raises:
            ValueError: it is broken, or has words that the table has no row for.
        """
        self.tokenizer = from_tensor(state) if state.numel() else None
        highest = max(self.tokenizer.get_vocab().values()) if self.tokenizer is not None else 0
        if highest >= self.vocabulary:
            raise ValueError(
                f"conditioner: its tokenizer has a word {highest}, and conditioner.vocabulary={self.vocabulary} rows"
            )


def _drawn(count: int) -> Sequence[int]:
    """The numbers of all captions, or of `MOST_CAPTIONS` of them in order."""
    if count <= MOST_CAPTIONS:
        return range(count)
    return sorted(random.Random(0).sample(range(count), MOST_CAPTIONS))


def _mean_of_real(states: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"]) -> Float[Tensor, "B D"]:
    real = mask[..., None].to(states.dtype)
    return (states * real).sum(dim=1) / real.sum(dim=1)
