"""Pictures drawn from prompts together with the attention map of each word.

Shapes: N pictures, K words (columns; pictures with fewer words have maps of 0 at the end), L tokens of the context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.conditioners.words import PromptWords
from ldmlab.drawing.conditions import Batch
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.editing.maps.attention_maps import AttentionMaps, Group, one_group
from ldmlab.models.latent_diffusion import LatentDiffusion


@dataclass(frozen=True)
class MapColumns:
    """What maps are wanted of a prompt.

    Attributes:
        titles: the words, or the phrases that were asked for.
        shares: how much of each token's map goes to each of them.
    """

    titles: tuple[str, ...]
    shares: Float[Tensor, "L K"]

    @staticmethod
    def of(prompt: PromptWords, phrases: Sequence[str] | None = None) -> MapColumns:
        """The columns for words or phrases, at all the places where a prompt has them; for every word in turn if None.

        Attention is a distribution over tokens, so the map of a word, as that of a phrase, is the sum over its tokens
        (DAAM takes their mean, which is the same picture on a scale of its own). A token that two words share is
        halved, so that words and marks together sum to one.

        Raises:
            ValueError: a phrase that the prompt lacks.
        """
        words = _word_shares(prompt)
        if phrases is None:
            read = [n for n, tokens in enumerate(prompt.tokens) if tokens]
            return MapColumns(tuple(prompt.words[n] for n in read), words[:, read])
        chosen = [words[:, prompt.find(phrase, "words")].sum(dim=1) for phrase in phrases]
        return MapColumns(tuple(phrases), torch.stack(chosen, dim=1))


def _word_shares(prompt: PromptWords) -> Float[Tensor, "L K"]:
    shares = torch.zeros(prompt.length, len(prompt.words))
    for word, tokens in enumerate(prompt.tokens):
        shares[list(tokens), word] = 1.0
    return shares / shares.sum(dim=1, keepdim=True).clamp(min=1)


@dataclass(frozen=True)
class WordMaps:
    """The maps of N pictures.

    Attributes:
        titles: of each picture's columns.
        parts: the maps of the pictures that were drawn at once.
    """

    titles: Sequence[tuple[str, ...]]
    parts: Sequence[AttentionMaps]

    @property
    def sites(self) -> set[str]:
        """The names of the attention sites whose maps were read."""
        return set().union(*(part.sites for part in self.parts))

    @property
    def groups(self) -> list[str]:
        """The names of the groups, in the order in which they came."""
        return self.parts[0].groups

    @property
    def peak(self) -> int:
        """The most bytes that maps took at a time while pictures were drawn."""
        return sum(part.peak for part in self.parts)

    def at(self, size: tuple[int, int], group: str | None = None) -> Float[Tensor, "N K H W"]:
        """The mean map of each word, enlarged bilinearly to a size; of all groups together if none is named.

        Raises:
            ValueError: no map was read.
        """
        return torch.cat([part.at(size, group).cpu() for part in self.parts])

    def raw(self) -> dict[str, Float[Tensor, "N K h w"]]:
        """The maps as they are kept, by group and grid, as "steps 1-5/8x8"."""
        parts = [part.raw() for part in self.parts]
        return {
            f"{group}/{grid[0]}x{grid[1]}": torch.cat([part[group, grid].cpu() for part in parts])
            for group, grid in parts[0]
        }


def sample_with_maps(
    model: LatentDiffusion,
    drawing: Drawing,
    batch: Batch,
    columns: Sequence[MapColumns],
    group: Group = one_group,
    half: bool = False,
) -> tuple[UInt8[Tensor, "N 3 fH fW"], WordMaps]:
    """The pictures of `sample`, to the last bit, and their maps.

    Args:
        model: the parts.
        drawing: how.
        batch: what the conditioner reads.
        columns: what maps are wanted of each picture's prompt.
        group: what is averaged together.
        half: keep means in float16.
    """
    widest = max(1, *(len(each.titles) for each in columns))
    shares = torch.stack([_padded(each.shares, widest) for each in columns])
    parts: list[AttentionMaps] = []

    def observer(rows: Sequence[int]) -> AttentionMaps:
        parts.append(AttentionMaps(shares[sorted(set(rows))], group, half))  # rows may end in repetitions
        return parts[-1]

    pictures = sample(model, drawing, batch, observer=observer)
    return pictures, WordMaps([each.titles for each in columns], parts)


def _padded(shares: Float[Tensor, "L K"], width: int) -> Float[Tensor, "L W"]:
    return torch.nn.functional.pad(shares, (0, width - shares.shape[1]))
