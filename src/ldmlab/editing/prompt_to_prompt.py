"""Prompt-to-prompt (Hertz et al. 2022): the source picture's attention maps steer the drawing of the edited prompt.

Both pictures are drawn side by side in one batch: the first half of its rows reads the source prompts, the second half
the target prompts. A map is taken over at the moment when it is computed, so none is kept, and any sampler will do,
however often it calls the network.

Shapes: P pairs, h heads, N queries, M keys, L tokens of the context, S steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ldmlab.attention.control import AttentionSite
from ldmlab.editing.blend import LocalBlend
from ldmlab.editing.prompt_edit import EditSettings, PromptEdit


class PromptToPrompt:
    """An attention control for P edits at once, for one run of a sampler.

    Args:
        edits: one for each pair.
        settings: what they were worked out from.

    Attributes:
        touched: the names of the sites whose maps were changed.
    """

    def __init__(self, edits: Sequence[PromptEdit], settings: EditSettings) -> None:
        self.mapper = torch.stack([edit.alignment.mapper for edit in edits])
        self.share = torch.stack([edit.share for edit in edits])
        self.factor = torch.stack([edit.factor for edit in edits])
        self.steps = self.share.shape[1]
        self.self_steps = round(settings.self_share * self.steps)
        self.self_side = settings.self_side
        self.blend = LocalBlend.of(edits, settings)
        self.touched: set[str] = set()
        self.step = 0

    def wants(self, site: AttentionSite) -> bool:
        """Whether this site's maps are changed, or looked at, in this step."""
        if site.kind == "self":
            return self._injects_self(site)
        return self._changes_cross or (self.blend is not None and self.blend.reads(site))

    def edit(self, probs: Float[Tensor, "P2 h N M"], site: AttentionSite) -> Float[Tensor, "P2 h N M"]:
        """The source's maps as they are, then the target's as the edit makes them."""
        source, target = probs.chunk(2)
        if site.kind == "self":
            self.touched.add(site.name)
            return torch.cat([source, source])
        if self._changes_cross:
            self.touched.add(site.name)
            target = self._edited(source, target)
        if self.blend is not None and self.blend.reads(site):
            self.blend.add(source, target, site)
        return torch.cat([source, target])

    def before_step(self, step: int) -> None:
        """Note the sampler's clock."""
        self.step = step

    def after_step(self, step: int, latents: Float[Tensor, "P2 C H W"]) -> Float[Tensor, "P2 C H W"]:
        """Let the target differ from the source only where the words are that may change."""
        return latents if self.blend is None else self.blend.apply(step, latents)

    @property
    def bytes(self) -> int:
        """Memory of the maps that are kept from site to site: a blend's sums; injection keeps none."""
        sums = self.blend.sums.values() if self.blend is not None else ()
        return sum(maps.numel() * maps.element_size() for maps in sums)

    def _edited(self, source: Tensor, target: Tensor) -> Tensor:
        """The maps of the prompt's tokens come first; a DiT may attend to further tokens, which keep theirs."""
        share, factor = (table[:, self.step, None, None].to(target) for table in (self.share, self.factor))
        words, others = target.split([self.mapper.shape[-1], target.shape[-1] - self.mapper.shape[-1]], dim=-1)
        injected = source[..., : words.shape[-1]] @ self.mapper[:, None].to(target)
        return torch.cat([(share * injected + (1 - share) * words) * factor, others], dim=-1)

    @property
    def _changes_cross(self) -> bool:
        now = self.share[:, self.step], self.factor[:, self.step]
        return bool((now[0] != 0).any()) or bool((now[1] != 1).any())

    def _injects_self(self, site: AttentionSite) -> bool:
        return self.step < self.self_steps and max(site.grid) <= self.self_side
