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
from ldmlab.editing.prompts.local_blend import LocalBlend
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit


class PromptToPrompt:
    """An attention control for P edits at once, for one run of a sampler.

    Args:
        edits: one for each pair.
        settings: what they were worked out from.

    Attributes:
        touched: the names of the sites whose maps were changed.
        touched_words: whether one of them attends to the prompt.
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
        self.touched_words = False
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
            _require_picture(probs, site)
            self.touched.add(site.name)
            return torch.cat([source, source])
        injected = self._injected(source, target)
        if self.blend is not None and self.blend.reads(site):
            self.blend.add(source, injected, site)  # before reweighting: a word of weight 0 still has its place
        if self._changes_cross:
            self.touched.add(site.name)
            self.touched_words = True
        return torch.cat([source, self._weighed(injected)])

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

    def _injected(self, source: Tensor, target: Tensor) -> Tensor:
        """The maps of the prompt's tokens come first; a DiT may attend to further tokens, which keep theirs."""
        share = self.share[:, self.step, None, None].to(target)
        words, others = self._split(target)
        injected = self._split(source)[0] @ self.mapper[:, None].to(target)
        return torch.cat([share * injected + (1 - share) * words, others], dim=-1)

    def _weighed(self, target: Tensor) -> Tensor:
        words, others = self._split(target)
        return torch.cat([words * self.factor[:, self.step, None, None].to(target), others], dim=-1)

    def _split(self, probs: Tensor) -> tuple[Tensor, Tensor]:
        """The maps of the prompt's tokens, and those of other tokens."""
        length = self.mapper.shape[-1]
        return probs[..., :length], probs[..., length:]

    @property
    def _changes_cross(self) -> bool:
        now = self.share[:, self.step], self.factor[:, self.step]
        return bool((now[0] != 0).any()) or bool((now[1] != 1).any())

    def _injects_self(self, site: AttentionSite) -> bool:
        return self.step < self.self_steps and max(site.grid) <= self.self_side


def _require_picture(probs: Tensor, site: AttentionSite) -> None:
    if probs.shape[-1] != site.grid[0] * site.grid[1]:
        raise ValueError(
            "backbone.conditioning=in_context: the words are in the picture's own sequence, so their maps cannot be "
            "told apart; edit with a model that has cross-attention"
        )
