"""Attention maps to look at: how much each place of a picture attends to each word of its prompt.

Shapes: B pictures, K words, L tokens of the context, h heads, N queries of an h x w grid, M keys, H x W places.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ldmlab.types import AttentionSite

Group = Callable[[int, AttentionSite], str | None]
"""From a step and a site to the name under which its maps are averaged, or None to pass them by."""


def one_group(step: int, site: AttentionSite) -> str | None:
    """The `Group` of all steps and sites in one."""
    return "all"


@dataclass
class _Mean:
    """A mean of so many maps, kept in the precision of `value`."""

    value: Float[Tensor, "B K h w"]
    count: int

    def add(self, total: Float[Tensor, "B K h w"], count: int) -> None:
        """Take in the sum of further maps."""
        self.count += count
        mean = self.value.float()
        self.value.copy_(mean + (total - count * mean) / self.count)


class AttentionMaps:
    """An attention control that changes nothing and averages maps, over heads and over network calls, as they pass.

    No map of a single call is kept: there is one mean for each group and size of grid, and the sum of the group whose
    turn it is, in float32. So sites that follow each other are summed exactly, and half precision rounds once a turn.

    Args:
        words: (B, L, K) share of each token's map in each word's. A word of several tokens has the sum of their maps
            (see `MapColumns`).
        group: what is averaged together; maps on grids of different sizes meet in `at`.
        half: keep means in float16.

    Attributes:
        sites: the names of the sites read.
        peak: the most bytes that maps have taken at a time.
    """

    def __init__(self, words: Float[Tensor, "B L K"], group: Group = one_group, half: bool = False) -> None:
        self.words = words
        self.group = group
        self.dtype = torch.float16 if half else torch.float32
        self.sites: set[str] = set()
        self.peak = 0
        self.step = 0
        self._means: dict[tuple[str, tuple[int, int]], _Mean] = {}
        self._turn: tuple[str, tuple[int, int]] | None = None
        self._sum = torch.empty(0)
        self._count = 0

    def wants(self, site: AttentionSite) -> bool:
        """Whether the site attends to words and belongs to a group in this step."""
        return site.attends_to_words and self.group(self.step, site) is not None

    def edit(self, probs: Float[Tensor, "R h N M"], site: AttentionSite) -> Float[Tensor, "R h N M"]:
        """Take in the maps of the first B rows, and give all back as they are."""
        group = self.group(self.step, site)
        if group is None:
            return probs
        self.words = self.words.to(probs.device)
        count, length, _ = self.words.shape
        tokens = probs[:count, ..., site.words(length)].float().mean(dim=1)
        maps = (tokens @ self.words).transpose(1, 2).unflatten(-1, site.grid)
        if (group, site.grid) != self._turn:
            self._settle()
            self._turn, self._sum = (group, site.grid), torch.zeros_like(maps)
        self._sum += maps
        self._count += 1
        self.sites.add(site.name)
        self.peak = max(self.peak, self.bytes)
        return probs

    def before_step(self, step: int) -> None:
        """Note the step, which decides the group of the maps that follow."""
        self.step = step

    def after_step(self, step: int, latents: Float[Tensor, "R C H W"]) -> Float[Tensor, "R C H W"]:
        """Go on with the latents as they are."""
        return latents

    @property
    def bytes(self) -> int:
        """Memory of what is kept from call to call."""
        kept = [self._sum, *(mean.value for mean in self._means.values())]
        return sum(maps.numel() * maps.element_size() for maps in kept)

    @property
    def groups(self) -> list[str]:
        """The names of the groups, in the order in which they came."""
        return list(dict.fromkeys(group for group, _ in self.raw()))

    def raw(self) -> dict[tuple[str, tuple[int, int]], Float[Tensor, "B K h w"]]:
        """The means by group and grid, as they are kept."""
        self._settle()
        return {key: mean.value for key, mean in self._means.items()}

    def at(self, size: tuple[int, int], group: str | None = None) -> Float[Tensor, "B K H W"]:
        """The mean map of each word, enlarged to a size; of all groups together if none is named.

        Every map counts the same whatever its grid, as in DAAM (Tang et al. 2022). Maps are enlarged bilinearly, which
        keeps their range, and the sum over words.

        Raises:
            ValueError: no map was read.
        """
        self._settle()
        means = [mean for (name, _), mean in self._means.items() if group in (None, name)]
        if not means:
            raise ValueError("no attention map was read: the model has no cross-attention, or its sites were passed by")
        total = sum(mean.count for mean in means)
        return torch.stack([_enlarged(mean.value, size) * (mean.count / total) for mean in means]).sum(dim=0)

    def _settle(self) -> None:
        """End a group's turn: its sum goes into its mean."""
        if self._turn is None:
            return
        if self._turn not in self._means:
            self._means[self._turn] = _Mean(torch.zeros_like(self._sum, dtype=self.dtype), 0)
        self._means[self._turn].add(self._sum, self._count)
        self._turn, self._sum, self._count = None, torch.empty(0), 0


def _enlarged(maps: Float[Tensor, "B K h w"], size: tuple[int, int]) -> Float[Tensor, "B K H W"]:
    return F.interpolate(maps.float(), size=size, mode="bilinear", align_corners=False)
