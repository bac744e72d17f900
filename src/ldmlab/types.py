"""The few dataclasses that every room shares, and how an editing method sees and changes attention.

Shapes: B batch, C latent channels, H x W latent grid, L text tokens, D token width, V vector width, h heads, N queries,
M keys.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True)
class Conditioning:
    """What a backbone is told besides the noisy latents. Every field is optional.

    Attributes:
        context: tokens that cross-attention reads.
        context_mask: True where a token is real, False where it is padding.
        vector: one vector a sample, added to the time embedding.
        concat: an image on the latent grid, concatenated to the noisy latents.
    """

    context: Float[Tensor, "B L D"] | None = None
    context_mask: Bool[Tensor, "B L"] | None = None
    vector: Float[Tensor, "B V"] | None = None
    concat: Float[Tensor, "B Cc H W"] | None = None

    @property
    def empty(self) -> bool:
        """Whether no field is present, as for an unconditional model."""
        return all(getattr(self, f.name) is None for f in fields(self))

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditioning:
        """Apply a function to every field that is present."""
        present = {f.name: getattr(self, f.name) for f in fields(self)}
        return replace(self, **{k: function(v) for k, v in present.items() if v is not None})

    def __getitem__(self, rows: slice | Tensor) -> Conditioning:
        """Select samples of the batch."""
        return self.map(lambda tensor: tensor[rows])

    def where(self, keep: Bool[Tensor, " B"], other: Conditioning) -> Conditioning:
        """Keep the samples where `keep` is True and take those of `other` elsewhere.

        Every field of one sample comes from the same side, so that its modalities are dropped together.
        """
        merged = {}
        for field in fields(self):
            mine, theirs = _both_or_neither(field.name, self, other)
            if mine is not None and theirs is not None:
                rows = keep.view(-1, *[1] * (mine.ndim - 1))
                merged[field.name] = torch.where(rows, mine, theirs.to(mine.dtype))
        return Conditioning(**merged)

    @staticmethod
    def cat(parts: Sequence[Conditioning]) -> Conditioning:
        """Concatenate along the batch; all parts must have the same fields."""
        joined = {}
        for field in fields(Conditioning):
            tensors = [getattr(part, field.name) for part in parts]
            if any(t is not None for t in tensors):
                for part in parts[1:]:
                    _both_or_neither(field.name, parts[0], part)
                joined[field.name] = torch.cat(tensors)
        return Conditioning(**joined)


def _both_or_neither(name: str, one: Conditioning, other: Conditioning) -> tuple[Tensor | None, Tensor | None]:
    a, b = getattr(one, name), getattr(other, name)
    if (a is None) != (b is None):
        raise ValueError(f"conditioning field '{name}' is present on one side only; give it on both or on neither")
    return a, b


@dataclass(frozen=True)
class Level:
    """A noise level: x = alpha * latents + sigma * noise.

    `alpha` and `sigma` have the same shape: () for one level, (B,) for one a sample, (S+1,) for the grid of a
    sampler. Variance-preserving schedules have alpha^2 + sigma^2 = 1, rectified flow alpha + sigma = 1.
    """

    alpha: Float[Tensor, "..."]
    sigma: Float[Tensor, "..."]

    def __getitem__(self, index: int | slice | Tensor) -> Level:
        return Level(self.alpha[index], self.sigma[index])

    def __len__(self) -> int:
        return len(self.alpha)

    def apart(self) -> list[Level]:
        """The levels of a grid one by one, each a pair of scalars on the CPU; wherever the grid is, it is read once."""
        pairs = zip(self.alpha.tolist(), self.sigma.tolist(), strict=True)
        dtype = self.alpha.dtype
        return [Level(torch.tensor(alpha, dtype=dtype), torch.tensor(sigma, dtype=dtype)) for alpha, sigma in pairs]

    @property
    def log_snr(self) -> Float[Tensor, "..."]:
        """log(alpha^2 / sigma^2); +inf for clean latents, -inf for pure noise."""
        return 2 * (self.alpha.log() - self.sigma.log())

    def like(self, x: Float[Tensor, "B *grid"]) -> tuple[Tensor, Tensor]:
        """Return alpha and sigma in the dtype of `x`, shaped to be multiplied with it."""
        return broadcast(self.alpha, x), broadcast(self.sigma, x)


def broadcast(coefficient: Float[Tensor, "*B"], x: Float[Tensor, "B *grid"]) -> Float[Tensor, "*B_and_ones"]:
    """A coefficient of shape () or (B,) in the dtype of `x`, shaped to be multiplied with it.

    Where `x` is on another device, one for all stays a scalar: kernels take it as an argument, and nothing is copied.
    """
    coefficient = coefficient.to(x.dtype)
    if coefficient.device != x.device:
        if coefficient.ndim == 0:
            return coefficient
        coefficient = coefficient.to(x.device)
    return coefficient.reshape(-1, *[1] * (x.ndim - 1))


@dataclass(frozen=True)
class Estimate:
    """What a denoiser makes of x at a level.

    Attributes:
        denoised: the clean latents.
        variance_mix: where the reverse step's log-variance lies between beta-tilde (0) and beta (1), for models that
            learn it; not clamped (Nichol & Dhariwal 2021, eq. 15).
    """

    denoised: Float[Tensor, "B C H W"]
    variance_mix: Float[Tensor, "B C H W"] | None = None


Denoise = Callable[[Tensor, Level], Tensor]
"""(x (B,C,H,W), level) -> clean estimate: what guidance hands to a sampler."""


@dataclass(frozen=True)
class AttentionSite:
    """One place in a backbone where attention happens. It is made once, when the backbone is built.

    The keys are, in this order: the picture's own tokens ("self", "joint"), the words ("cross", "joint"), and whatever
    else the backbone lets the picture attend to (time, vector).

    Attributes:
        name: the module's path in its backbone, unique there, for example "blocks.3.cross".
        kind: "self" attends to the picture's own tokens, "cross" to the words, "joint" to both in one softmax.
        grid: rows and columns of the picture's tokens, which are the queries: rows * columns == N.
    """

    name: str
    kind: Literal["self", "cross", "joint"]
    grid: tuple[int, int]

    @property
    def tokens(self) -> int:
        """N, the number of the picture's tokens, which are the queries."""
        return self.grid[0] * self.grid[1]

    @property
    def attends_to_words(self) -> bool:
        """Whether the tokens of the prompt are among the keys."""
        return self.kind != "self"

    def words(self, length: int) -> slice:
        """Which keys are the words of a prompt of L tokens."""
        first = self.tokens if self.kind == "joint" else 0
        return slice(first, first + length)

    def on(self, grid: tuple[int, int]) -> AttentionSite:
        """This site in a pass over another grid than the one that the backbone was built for.

        Args:
            grid: rows and columns of the picture's tokens in that pass.
        """
        return self if grid == self.grid else _elsewhere(self, grid)


@lru_cache(maxsize=1024)
def _elsewhere(site: AttentionSite, grid: tuple[int, int]) -> AttentionSite:
    return replace(site, grid=grid)


@runtime_checkable
class AttentionControl(Protocol):
    """Sees the attention probabilities of the sites that it wants, and may replace them.

    The sampler owns the clock and calls `before_step` and `after_step`; a backbone calls `wants` and `edit`.
    """

    def wants(self, site: AttentionSite) -> bool:
        """Whether this site takes the explicit path and is handed to `edit`."""
        ...

    def edit(self, probs: Float[Tensor, "B h N M"], site: AttentionSite) -> Float[Tensor, "B h N M"]:
        """Return the probabilities to use in place of `probs`, which are float32 at least and sum to one over M."""
        ...

    def before_step(self, step: int) -> None:
        """Called when sampling step `step` (0-based) begins, before its first network call."""
        ...

    def after_step(self, step: int, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Called when sampling step `step` ended with `latents`; returns the latents to go on with."""
        ...


class Uncontrolled:
    """An `AttentionControl` that changes nothing and wants no site; a base for those that act between steps alone."""

    def wants(self, site: AttentionSite) -> bool:
        """False: no site has to take the explicit path."""
        return False

    def edit(self, probs: Float[Tensor, "B h N M"], site: AttentionSite) -> Float[Tensor, "B h N M"]:
        """Return the probabilities as they are."""
        return probs

    def before_step(self, step: int) -> None:
        """Do nothing at the beginning of a step."""

    def after_step(self, step: int, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Go on with the latents as they are."""
        return latents
