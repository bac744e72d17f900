"""Frozen CLIP text encoder through open_clip, with weights from a local file (Radford et al. 2021).

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import open_clip
import torch
from jaxtyping import Float, Int
from safetensors import SafetensorError
from torch import Tensor

from ldmlab.conditioners.base import Conditioner, expand_rows, require
from ldmlab.conditioners.tokenizer import check_length
from ldmlab.types import Conditioning


class FrozenCLIP(Conditioner):
    """Gives `context`, the final-norm states of all L tokens, and `vector`, the state at the end mark.

    Padding is part of the context, as in Stable Diffusion. Nothing here is trained.

    Args:
        model: an open_clip architecture, for example "ViT-L-14-quickgelu".
        weights: local file with the architecture's weights (.safetensors or .pt); nothing is ever downloaded. None
            where they follow from a checkpoint of a whole model.
    """

    def __init__(self, model: str, weights: str | None) -> None:
        super().__init__()
        if model not in open_clip.list_models():
            raise ValueError(f"conditioner.model={model}: open_clip lacks it; choose one of open_clip.list_models()")
        if weights is not None and not Path(weights).is_file():
            raise ValueError(f"conditioner.weights={weights}: no such file; give the path of {model}'s weights")
        clip = _build(model)
        if weights is not None:
            _fill(clip, model, weights)
        self.tokenizer = open_clip.get_tokenizer(model)
        self.length: int = clip.context_length
        self.context_width = self.vector_width = clip.positional_embedding.shape[1]
        self.token_embedding = clip.token_embedding
        self.positions = clip.positional_embedding
        self.transformer = clip.transformer
        self.norm = clip.ln_final
        self.register_buffer("causal_mask", clip.attn_mask, persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenCLIP:
        """Stay in evaluation mode."""
        return super().train(False)

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """Refuses a prompt that would be cut."""
        for prompt in prompts:
            check_length(prompt, len(self.tokenizer.encode(prompt)) + 2, self.length)
        return super().batch(prompts)

    def forward(self, batch: Mapping[str, Any]) -> Conditioning:
        """Read `batch["captions"]`, B strings, each cut after L tokens."""
        return self._encode(require(batch, "captions", "clip"))

    def null(self, n: int) -> Conditioning:
        """The empty prompt, encoded once."""
        return self._encode([""]).map(lambda field: expand_rows(field, n))

    @torch.no_grad()
    def _encode(self, prompts: Sequence[str]) -> Conditioning:
        ids = self.tokenizer(list(prompts), context_length=self.length).to(self.positions.device)
        context = self._states(ids)
        return Conditioning(context, vector=context[torch.arange(len(ids), device=ids.device), ids.argmax(dim=-1)])

    def _states(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        hidden = self.token_embedding(ids) + self.positions
        return self.norm(self.transformer(hidden, attn_mask=self.causal_mask))


def _build(model: str) -> open_clip.CLIP:
    """The untrained architecture, if its text tower is CLIP's: BPE tokens, causal, read at the end mark."""
    text = open_clip.get_model_config(model)["text_cfg"]
    foreign = "hf_tokenizer_name" in text or text.get("pool_type", "argmax") != "argmax"
    with torch.device("cpu"):  # open_clip moves it there, which tensors on the meta device refuse
        clip = None if foreign else open_clip.create_model(model, pretrained=None, require_pretrained=False)
    if not isinstance(clip, open_clip.CLIP):
        raise ValueError(f"conditioner.model={model}: its text tower is not CLIP's; choose one like ViT-L-14")
    return clip


def _fill(clip: open_clip.CLIP, model: str, weights: str) -> None:
    try:
        open_clip.load_checkpoint(clip, weights, weights_only=True)
    except (RuntimeError, KeyError, TypeError, AttributeError, UnpicklingError, SafetensorError) as error:
        raise ValueError(f"conditioner.weights={weights}: not weights of {model}; give that architecture's") from error
