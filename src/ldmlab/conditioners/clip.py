"""Frozen CLIP text encoder through open_clip, with weights from a local file (Radford et al. 2021).

Shapes: B batch, L tokens, D width.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ldmlab.conditioners.base import require_key
from ldmlab.conditioners.frozen_text import FrozenText
from ldmlab.conditioners.tokenizer import check_length
from ldmlab.conditioners.words import PromptWords, from_pieces
from ldmlab.tensor_file import check, is_sealed
from ldmlab.torch_file import require_undamaged
from ldmlab.types import Conditioning

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer

Padding = Literal["zero", "end"]


@cache
def _tokenizer() -> SimpleTokenizer:
    from open_clip.tokenizer import SimpleTokenizer

    return SimpleTokenizer()  # 0.2 s, and the same for all


class CLIPText(FrozenText):
    """Gives `context`, the final-norm states of all L tokens, and `vector`, the state at the end mark.

    Padding is part of the context, as in Stable Diffusion. Nothing here is trained: the weights follow from a
    checkpoint of a whole model. The defaults are the text encoder of Stable Diffusion 1.x.

    Args:
        width: D.
        depth: number of blocks.
        heads: attention heads.
        length: L.
        quick_gelu: OpenAI's approximation x sigmoid(1.702 x) in place of GELU.
        padding: what fills a prompt up to L: token 0, as open_clip has it, or the end mark, as Stable Diffusion has it.
        pooled: whether it gives `vector`.
    """

    def __init__(
        self,
        width: int = 768,
        depth: int = 12,
        heads: int = 12,
        length: int = 77,
        quick_gelu: bool = True,
        padding: Padding = "end",
        pooled: bool = False,
    ) -> None:
        from open_clip.transformer import QuickGELU, TextTransformer

        super().__init__()
        if padding not in ("zero", "end"):
            raise ValueError(f"conditioner.padding={padding}: choose zero (open_clip) or end (Stable Diffusion)")
        activation = QuickGELU if quick_gelu else nn.GELU
        self.tokenizer = _tokenizer()
        words = self.tokenizer.vocab_size
        text = TextTransformer(length, words, width, heads, depth, output_dim=None, act_layer=activation)
        self.length = length
        self.padding = padding
        self.context_width = width
        self.vector_width = width if pooled else None
        self.shapes = {"context": (length, width), **({"vector": (width,)} if pooled else {})}
        self.settings = {"heads": heads, "quick_gelu": quick_gelu, "padding": padding}
        self.token_embedding = text.token_embedding
        self.positions = text.positional_embedding
        self.transformer = text.transformer
        self.norm = text.ln_final
        self.register_buffer("causal_mask", text.attn_mask, persistent=False)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> CLIPText:
        """Stay in evaluation mode, whatever the module around it does: nothing here is trained."""
        return super().train(False)

    def batch(self, prompts: Sequence[str]) -> dict[str, Any]:
        """What `forward` reads, for prompts as a user types them.

        Raises:
            ValueError: a prompt has more than L tokens and would be cut.
        """
        for prompt in prompts:
            check_length(prompt, len(self.tokenizer.encode(prompt)) + 2, self.length)
        return super().batch(prompts)

    def words(self, prompt: str) -> PromptWords:
        """Which positions of `context` belong to which words of a prompt.

        A word is what CLIP's own pattern splits off; the digits of a number are one.
        """
        pieces: list[tuple[str, int]] = []
        end = -1
        cleaned = self.tokenizer.clean_fn(prompt)
        for match in self.tokenizer.pat.finditer(cleaned):
            word, count = match.group(), len(self.tokenizer.encode(match.group()))
            if word.isdigit() and match.start() == end and pieces[-1][0].isdigit():
                before, tokens = pieces.pop()
                word, count = before + word, tokens + count
            pieces.append((word, count))
            end = match.end()
        return from_pieces(pieces, self.length)

    def encode(self, batch: Mapping[str, Any]) -> Conditioning:
        """Read `batch["captions"]`, B strings, each cut after L tokens; or `batch["tokens"]`, made by `tensors`."""
        return self._encode(self.tensors(batch)["tokens"].to(self.positions.device))

    def tensors(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """The batch with its "captions" as "tokens" (B, L), integers on the CPU."""
        if "tokens" in batch:
            return batch
        return {**batch, "tokens": self.token_ids(require_key(batch, "captions", "clip"))[0]}

    def encode_null(self) -> Conditioning:
        """Condition on the empty prompt, once: begin mark, end mark, padding."""
        end = self.tokenizer.eot_token_id
        padding = end if self.padding == "end" else 0
        ids = torch.full((1, self.length), padding, device=self.positions.device)
        ids[:, 0], ids[:, 1] = self.tokenizer.sot_token_id, end
        return self._encode(ids)

    def token_ids(self, prompts: Sequence[str]) -> tuple[Int[Tensor, "B L"], Int[Tensor, " B"]]:
        """Begin mark, words, end mark, padding; and where the first end mark is."""
        ids = self.tokenizer(list(prompts), context_length=self.length)
        ends = self._ends(ids)
        if self.padding == "end":
            ids[torch.arange(self.length) > ends[:, None]] = self.tokenizer.eot_token_id
        return ids, ends

    @torch.no_grad()
    def _encode(self, ids: Int[Tensor, "B L"]) -> Conditioning:
        context = self.states(ids)
        rows = torch.arange(len(ids), device=ids.device)
        return Conditioning(context, vector=context[rows, self._ends(ids)] if self.vector_width else None)

    def _ends(self, ids: Int[Tensor, "B L"]) -> Int[Tensor, " B"]:
        """The first end mark of each row."""
        return (ids == self.tokenizer.eot_token_id).int().argmax(dim=-1)

    def states(self, ids: Int[Tensor, "B L"]) -> Float[Tensor, "B L D"]:
        """The states of all tokens after the final norm."""
        hidden = self.token_embedding(ids) + self.positions
        return self.norm(self.transformer(hidden, attn_mask=self.causal_mask))


class FrozenCLIP(CLIPText):
    """`CLIPText` in the size of one of open_clip's architectures.

    Args:
        model: an open_clip architecture, for example "ViT-L-14-quickgelu".
        weights: local file with the architecture's weights (.safetensors or .pt), or one that `ldmlab import` wrote;
            nothing is ever downloaded. None where they follow from a checkpoint of a whole model.
        padding: what fills a prompt up to L: token 0, or the end mark as Stable Diffusion has it.
        pooled: whether it gives `vector`.
    """

    def __init__(self, model: str, weights: Path | str | None, padding: Padding = "zero", pooled: bool = True) -> None:
        import open_clip

        if model not in open_clip.list_models():
            raise ValueError(f"conditioner.model={model}: open_clip lacks it; choose one of open_clip.list_models()")
        if weights is not None and not Path(weights).is_file():
            raise ValueError(f"conditioner.weights={weights}: no such file; give the path of {model}'s weights")
        sizes = {**_sizes(model), "padding": padding, "pooled": pooled}
        super().__init__(**sizes)
        self.sizes = sizes
        if weights is not None:
            self._fill(model, weights)

    def _fill(self, model: str, weights: Path | str) -> None:
        """Take the text tower out of a file of the whole of CLIP."""
        from open_clip.factory import load_state_dict

        if is_sealed(Path(weights)):
            check(Path(weights), "conditioner.weights")
        if zipfile.is_zipfile(weights):
            require_undamaged(Path(weights), "conditioner.weights")
        try:
            stored = load_state_dict(str(weights))
            imported = "conditioner.positions" in stored
            public = {
                name: f"conditioner.{name}" if imported else _PUBLIC.get(name, name) for name in self.state_dict()
            }
            self.load_state_dict({name: stored[theirs] for name, theirs in public.items()})
        except Exception as error:  # a pickle made by hand raises whatever its maker likes
            raise ValueError(
                f"conditioner.weights={weights}: not weights of {model}; give that architecture's"
            ) from error


_PUBLIC = {
    "positions": "positional_embedding",
    "norm.weight": "ln_final.weight",
    "norm.bias": "ln_final.bias",
}
"""What open_clip calls those of our tensors to which it gives another name."""

_READ = {"context_length", "vocab_size", "width", "heads", "layers"}


def _sizes(model: str) -> dict[str, Any]:
    """The text tower of an architecture, if it is CLIP's: BPE tokens, causal, read at the end mark."""
    from open_clip import get_model_config

    config = get_model_config(model)
    text = config["text_cfg"]
    if config.get("custom_text") or not set(text) <= _READ or text.get("vocab_size", 49408) != 49408:
        raise ValueError(f"conditioner.model={model}: its text tower is not CLIP's; choose one like ViT-L-14")
    return {
        "width": text.get("width", 512),
        "depth": text.get("layers", 12),
        "heads": text.get("heads", 8),
        "length": text.get("context_length", 77),
        "quick_gelu": config.get("quick_gelu", False),
    }
