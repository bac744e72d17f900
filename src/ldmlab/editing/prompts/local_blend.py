"""Local blend (Hertz et al. 2022, appendix): outside the edited words' place the picture stays the source's.

Shapes: P pairs, h heads, N queries, L words, C x H x W latents.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.types import AttentionSite

LARGEST_SIDE = 16
"""Maps on larger grids are not read: they say less about whole objects."""
POOLED_SIDE = 8
"""Maps on grids up to this side are not spread to their neighbours: a cell is large enough."""


class LocalBlend:
    """Averages the attention to chosen words over sites, heads and steps, and keeps the latents elsewhere.

    Args:
        source_tokens: (P, L) the source tokens whose place may change.
        target_tokens: (P, L) the target tokens whose place may change.
        first_step: the first step after which latents are kept.
        threshold: share of a map's maximum above which a place belongs to the words.
        dtype: of the sums that are kept.
    """

    def __init__(
        self,
        source_tokens: Bool[Tensor, "P L"],
        target_tokens: Bool[Tensor, "P L"],
        first_step: int,
        threshold: float,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.tokens = (source_tokens, target_tokens)
        self.first_step = first_step
        self.threshold = threshold
        self.dtype = dtype
        self.sums: dict[tuple[int, int], Tensor] = {}

    @staticmethod
    def of(edits: Sequence[PromptEdit], settings: EditSettings) -> LocalBlend | None:
        """The blend of some edits that have the same settings; None where these set no limit."""
        if settings.blend is None:
            return None
        source = torch.stack([edit.source_blend for edit in edits])
        target = torch.stack([edit.target_blend for edit in edits])
        first_step = round(settings.blend_from * len(edits[0].share))
        dtype = torch.float16 if settings.half_maps else torch.float32
        return LocalBlend(source, target, first_step, settings.blend_threshold, dtype)

    def reads(self, site: AttentionSite) -> bool:
        """Whether a site's maps count: those of the prompt on grids that are not too large."""
        return site.attends_to_words and max(site.grid) <= LARGEST_SIDE

    def add(self, source: Float[Tensor, "P h N L"], target: Float[Tensor, "P h N L"], site: AttentionSite) -> None:
        """Add a site's maps of the words in this step, of those that count and averaged over the heads."""
        maps = []
        self.tokens = self.tokens[0].to(source), self.tokens[1].to(source)  # which copies once, if at all
        for probs, words in zip((source, target), self.tokens, strict=True):
            mean = (probs.mean(dim=1) * words[:, None]).sum(dim=-1) / words.sum(dim=-1)[:, None].clamp(min=1)
            maps.append(mean.unflatten(-1, site.grid))
        stacked = torch.stack(maps, dim=1).to(self.dtype)
        self.sums[site.grid] = self.sums.get(site.grid, torch.zeros_like(stacked)) + stacked

    def mask(self, rows: int, columns: int) -> Bool[Tensor, "P 1 H W"]:
        """Where the words of either prompt are that may change, on a grid of H x W."""
        maps = [_resized(_spread(each.float()), (rows, columns)) for each in self.sums.values()]
        total = torch.stack(maps).sum(dim=0)
        strongest = total.flatten(2).amax(dim=-1)[..., None, None]
        inside = (total > self.threshold * strongest) & (strongest > 0)
        return inside.any(dim=1, keepdim=True)

    def apply(self, step: int, latents: Float[Tensor, "P2 C H W"]) -> Float[Tensor, "P2 C H W"]:
        """The target's latents inside, the source's outside.

        Raises:
            ValueError: the model attends to words on large grids alone.
        """
        if step < self.first_step:
            return latents
        if not self.sums:
            raise ValueError(
                f"blend: the model attends to no words on grids up to {LARGEST_SIDE} x {LARGEST_SIDE}, whose maps it "
                "reads; leave blend out"
            )
        source, target = latents.chunk(2)
        inside = self.mask(*latents.shape[-2:])
        return torch.cat([source, torch.where(inside, target, source)])


def _spread(maps: Float[Tensor, "P 2 h w"]) -> Float[Tensor, "P 2 h w"]:
    return F.max_pool2d(maps, 3, stride=1, padding=1) if min(maps.shape[-2:]) > POOLED_SIDE else maps


def _resized(maps: Float[Tensor, "P 2 h w"], size: tuple[int, int]) -> Float[Tensor, "P 2 H W"]:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=False)
