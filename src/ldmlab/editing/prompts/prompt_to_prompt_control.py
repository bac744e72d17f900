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

from ldmlab.editing.prompts.joint_rows import with_picture, with_words
from ldmlab.editing.prompts.local_blend import LocalBlend
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.types import AttentionSite


class PromptToPromptControl:
    """An attention control for P edits at once, for one run of a sampler.

    Args:
        edits: one for each pair.
        settings: what they were worked out from.

    Attributes:
        touched: the names of the sites whose maps were changed.
        touched_words: whether one of them attends to the prompt.
        changes_words: for each step, whether any of the words' maps are changed.
    """

    def __init__(self, edits: Sequence[PromptEdit], settings: EditSettings) -> None:
        self.mapper = torch.stack([edit.alignment.mapper for edit in edits])
        self.share = torch.stack([edit.share for edit in edits])
        self.factor = torch.stack([edit.factor for edit in edits])
        self.steps = self.share.shape[1]
        self.changes_words = ((self.share != 0) | (self.factor != 1)).any(dim=-1).any(dim=0).tolist()
        self.self_steps = round(settings.self_share * self.steps)
        self.self_side = settings.self_side
        self.blend = LocalBlend.of(edits, settings)
        self.touched: set[str] = set()
        self.touched_words = False
        self.step = 0

    def wants(self, site: AttentionSite) -> bool:
        """Whether this site's maps are changed, or looked at, in this step."""
        blended = self.blend is not None and self.blend.reads(site)
        return self._injects_picture(site) or blended or (site.attends_to_words and self.changes_words[self.step])

    def edit(self, probs: Float[Tensor, "P2 h N M"], site: AttentionSite) -> Float[Tensor, "P2 h N M"]:
        """The probabilities with the target's rows as the edit makes them; the source's are left as they are."""
        self.mapper, self.share, self.factor = (each.to(probs) for each in (self.mapper, self.share, self.factor))
        source, target = probs.chunk(2)
        rows = target
        if site.kind == "self" or self._injects_picture(site):
            self.touched.add(site.name)
            rows = source if site.kind == "self" else with_picture(target, source, site.tokens)
        if site.attends_to_words:
            rows = self._with_words(rows, source, target, site)
        return torch.cat([source, rows])

    def before_step(self, step: int) -> None:
        """Note the step, which decides what is injected in it."""
        self.step = step

    def after_step(self, step: int, latents: Float[Tensor, "P2 C H W"]) -> Float[Tensor, "P2 C H W"]:
        """Let the target differ from the source only where the words are that may change."""
        return latents if self.blend is None else self.blend.apply(step, latents)

    @property
    def bytes(self) -> int:
        """Memory of the maps that are kept from site to site: a blend's sums; injection keeps none."""
        sums = self.blend.sums.values() if self.blend is not None else ()
        return sum(maps.numel() * maps.element_size() for maps in sums)

    def _with_words(self, rows: Tensor, source: Tensor, target: Tensor, site: AttentionSite) -> Tensor:
        """Rows with the words' maps of the edit in their columns; what else there is to attend to keeps its own.

        Where the picture is among that, the two share what there is, see `with_words`.
        """
        columns = site.words(self.mapper.shape[-1])
        words = self._injected(source[..., columns], target[..., columns])
        if self.blend is not None and self.blend.reads(site):
            self.blend.add(source[..., columns], words, site)  # before weighing: a word of weight 0 has its place
        if self.changes_words[self.step]:
            self.touched.add(site.name)
            self.touched_words = True
        words = words * self.factor[:, self.step, None, None]
        if site.kind == "joint":
            return with_words(rows, words, columns)
        return torch.cat([words, rows[..., columns.stop :]], dim=-1)

    def _injected(self, source: Float[Tensor, "P h N L"], target: Float[Tensor, "P h N L"]) -> Tensor:
        share = self.share[:, self.step, None, None]
        return share * (source @ self.mapper[:, None]) + (1 - share) * target

    def _injects_picture(self, site: AttentionSite) -> bool:
        """Whether how the picture attends to itself is the source's."""
        return site.kind != "cross" and self.step < self.self_steps and max(site.grid) <= self.self_side
