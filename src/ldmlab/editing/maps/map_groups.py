"""Which attention maps are averaged together: all of them, those of a range of steps, or those of a site."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from ldmlab.attention.attend import sites_of
from ldmlab.editing.maps.attention_maps import Group
from ldmlab.types import AttentionSite

By = Literal["step", "site"]


def word_sites(backbone: nn.Module, asked: str) -> list[str]:
    """The names of the sites where a backbone attends to the words of its prompt.

    Args:
        backbone: of any kind.
        asked: what the user gave, for the message.

    Raises:
        ValueError: there is none.
    """
    sites = [site.name for site in sites_of(backbone) if site.attends_to_words]
    if not sites:
        raise ValueError(f"{asked}: the model has no cross-attention, so there are no maps of words to look at")
    return sites


def grouping(
    by: By | None, steps: int, bins: int = 4, sites: Sequence[str] | None = None, known: Sequence[str] = ()
) -> Group:
    """A function from (step, site) to the name of the group that its maps are averaged in, or None to leave them out.

    Args:
        by: a group for each range of steps, for each site, or one for all.
        steps: S, of the sampler.
        bins: ranges of steps, as even as can be.
        sites: names of those to read; None for all.
        known: names of those that there are.

    Raises:
        ValueError: more ranges than steps, or a site that is not known.
    """
    if by == "step" and bins > steps:
        raise ValueError(f"step_bins={bins}: the sampler makes {steps} steps; give at most as many")
    for name in sites or ():
        if name not in known:
            raise ValueError(f"sites: the model has no '{name}'; its sites that attend to words are {', '.join(known)}")
    titles = _ranges(steps, bins)

    def group(step: int, site: AttentionSite) -> str | None:
        if sites is not None and site.name not in sites:
            return None
        return titles[step] if by == "step" else site.name if by == "site" else "all"

    return group


def _ranges(steps: int, bins: int) -> list[str]:
    """For each step, the name of the range it lies in."""
    numbers = [step * bins // steps for step in range(steps)]
    spans = {n: [step + 1 for step in range(steps) if numbers[step] == n] for n in numbers}
    names = {n: f"step {s[0]}" if len(s) == 1 else f"steps {s[0]}-{s[-1]}" for n, s in spans.items()}
    return [names[n] for n in numbers]
