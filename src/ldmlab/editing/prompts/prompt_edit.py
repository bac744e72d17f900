"""What an edit of a prompt does to attention, token by token and step by step.

Shapes: S steps, L tokens of the context.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.conditioners.words import PromptWords
from ldmlab.editing.prompts.alignment import Alignment, align


@dataclass(frozen=True)
class EditSettings:
    """How an edit is made, as a user says it. Times are shares of the sampling steps, from the noisiest on.

    Attributes:
        tau: how long the source's cross-attention maps are injected: 0 never, 1 at all steps.
        word_tau: the same for single words or phrases of the target prompt.
        self_tau: how long its self-attention maps are, in a softmax over picture and words the picture's part of it;
            half of tau if not given, or 0 with `preserve`.
        self_side: only on grids of at most this many rows and columns.
        reweight: factors of the maps of words or phrases of the target prompt, after the softmax; 1 changes nothing.
            Several factors for one word follow each other, each for an equal share of the steps.
        reweight_until: how long they are applied.
        preserve: words of the target prompt whose cross-attention maps alone are injected; empty for all that have a
            source.
        blend: words whose place, in either prompt, is what may change; the rest of the picture is the source's. None
            for no limit, empty for the words that differ.
        blend_from: from when on that holds.
        blend_threshold: share of the strongest attention above which a place belongs to a word.
        half_maps: keep the maps that a blend sums up as fp16.

    Raises:
        ValueError: a time outside [0, 1], or another value out of its range.
    """

    tau: float = 0.8
    word_tau: Mapping[str, float] | None = None
    self_tau: float | None = None
    self_side: int = 16
    reweight: Mapping[str, float | Sequence[float]] | None = None
    reweight_until: float = 1.0
    preserve: Sequence[str] = ()
    blend: Sequence[str] | None = None
    blend_from: float = 0.2
    blend_threshold: float = 0.3
    half_maps: bool = False

    @property
    def self_share(self) -> float:
        """The share of the steps in which self-attention maps are injected: `self_tau`, or what follows from `tau`."""
        default = 0.0 if self.preserve else self.tau / 2
        return default if self.self_tau is None else self.self_tau

    def __post_init__(self) -> None:
        times = {"tau": self.tau, "self_tau": self.self_share, "reweight_until": self.reweight_until}
        times |= {"blend_from": self.blend_from, "blend_threshold": self.blend_threshold}
        times |= {f"word_tau.{word}": value for word, value in (self.word_tau or {}).items()}
        for key, value in times.items():
            if not _is_number(value) or not 0 <= value <= 1:
                raise ValueError(f"{key}={value}: give a share between 0 and 1; 0.8 is four fifths of the steps")
        for word, given in (self.reweight or {}).items():
            factors = _factors(given)
            if not factors or not all(_is_number(factor) and math.isfinite(factor) for factor in factors):
                raise ValueError(
                    f"reweight.{word}={given}: give a number, or a list of numbers for equal shares of the steps; 1 "
                    "changes nothing, 0 takes the word away"
                )
        if self.self_side < 1:
            raise ValueError(f"self_side={self.self_side}: give at least 1, the largest grid whose maps are injected")


@dataclass(frozen=True)
class PromptEdit:
    """An edit of one prompt into another, worked out.

    Attributes:
        alignment: of the two prompts' tokens.
        share: how much of a target token's map is the source's.
        factor: by what it is multiplied after that.
        source_blend: the source tokens whose place may change.
        target_blend: the target tokens whose place may change.
    """

    alignment: Alignment
    share: Float[Tensor, "S L"]
    factor: Float[Tensor, "S L"]
    source_blend: Bool[Tensor, " L"]
    target_blend: Bool[Tensor, " L"]

    @staticmethod
    def between(source: PromptWords, target: PromptWords, steps: int, settings: EditSettings) -> PromptEdit:
        """What an edit of one prompt into another does, token by token and step by step.

        Args:
            source: the words of the source prompt.
            target: the words of the target prompt.
            steps: S, of the sampler.
            settings: how the edit is made.

        Raises:
            ValueError: a word that the prompt lacks, or that keeps no map of the source.
        """
        alignment = align(source, target)
        ends = _injection_ends(alignment, target, settings)
        clock = torch.arange(steps)[:, None]
        share = (clock < (ends * steps).round()).float() * alignment.mapped
        factor = torch.ones(steps, target.length)
        for phrase, value in (settings.reweight or {}).items():
            tokens = _tokens(target, target.find(phrase, f"reweight.{phrase}"))
            factors = torch.tensor(_factors(value), dtype=torch.float32)
            weighed = round(settings.reweight_until * steps)
            factor[:weighed, tokens] = factors[torch.arange(steps) * len(factors) // steps][:weighed, None]
        return PromptEdit(alignment, share, factor, *_blended(alignment, source, target, settings))

    @property
    def changes_nothing(self) -> bool:
        """Whether the two prompts have the same words and no word is weighed anew."""
        return all(change.kind == "keep" for change in self.alignment.changes) and bool((self.factor == 1).all())


def _factors(value: Any) -> list[Any]:
    return [*value] if isinstance(value, list | tuple) else [value]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _injection_ends(alignment: Alignment, target: PromptWords, settings: EditSettings) -> Float[Tensor, " L"]:
    """When the injection of each target token's map ends, as a share of the steps."""
    ends = torch.full((len(alignment.mapped),), float(settings.tau))
    if settings.preserve:
        kept = _tokens(target, [n for phrase in settings.preserve for n in target.find(phrase, "preserve")])
        _require_source(alignment, target, f"preserve={list(settings.preserve)}", kept)
        chosen = torch.zeros(len(ends), dtype=torch.bool)
        chosen[kept] = True
        ends = torch.where(chosen, ends, 0.0)
    for phrase, tau in (settings.word_tau or {}).items():
        tokens = _tokens(target, target.find(phrase, f"word_tau.{phrase}"))
        _require_source(alignment, target, f"word_tau.{phrase}={tau}", tokens)
        ends[tokens] = float(tau)
    return ends


def _require_source(alignment: Alignment, target: PromptWords, given: str, tokens: Sequence[int]) -> None:
    if not bool(alignment.mapped[list(tokens)].all()):
        kept = [target.words[n] for change in alignment.changes if change.kind != "insert" for n in change.target]
        raise ValueError(
            f"{given}: the source prompt has nothing in its place whose map could be injected; words that have are "
            f"{', '.join(kept)}"
        )


def _blended(
    alignment: Alignment, source: PromptWords, target: PromptWords, settings: EditSettings
) -> tuple[Bool[Tensor, " L"], Bool[Tensor, " L"]]:
    """The tokens of both prompts whose place may change; none where nothing limits it."""
    masks = torch.zeros(2, source.length, dtype=torch.bool)
    if settings.blend is None:
        return masks[0], masks[1]
    changed = [change for change in alignment.changes if change.kind != "keep"]
    numbers = [[n for c in changed for n in c.source], [n for c in changed for n in c.target]]
    if settings.blend:
        numbers = _named(source, target, settings.blend)
    elif settings.reweight:
        weighed = {n for phrase in settings.reweight for n in target.find(phrase, f"reweight.{phrase}")}
        numbers[1] += weighed
        kept = (c for c in alignment.changes if c.kind == "keep")
        numbers[0] += [c.source[0] for c in kept if c.target[0] in weighed]
    for mask, prompt, chosen in zip(masks, (source, target), numbers, strict=True):
        mask[_tokens(prompt, chosen)] = True
    return masks[0], masks[1]


def _named(source: PromptWords, target: PromptWords, phrases: Sequence[str]) -> list[list[int]]:
    """The numbers of words that either prompt has; a phrase that neither has is refused."""
    numbers: list[list[int]] = [[], []]
    for phrase in phrases:
        found = 0
        for chosen, prompt in zip(numbers, (source, target), strict=True):
            try:
                chosen += prompt.find(phrase, "blend")
                found += 1
            except ValueError:
                continue
        if not found:
            known = dict.fromkeys([*source.words, *target.words])
            raise ValueError(f"blend: neither prompt has '{phrase}'; their words are {', '.join(known)}")
    return numbers


def _tokens(prompt: PromptWords, words: Sequence[int]) -> list[int]:
    return [token for word in words for token in prompt.tokens[word]]
