"""How an editing method sees and changes attention: an argument that travels beside the conditioning.

Shapes: B batch, h heads, N queries, M keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class AttentionSite:
    """One place in a backbone where attention happens.

    Attributes:
        name: the module's path in its backbone, unique there, for example "blocks.3.cross".
        kind: "self" attends to the picture's own tokens, "cross" to the context.
        grid: rows and columns of the query tokens, with rows * columns == N.
    """

    name: str
    kind: Literal["self", "cross"]
    grid: tuple[int, int]


@runtime_checkable
class AttentionControl(Protocol):
    """Sees the attention probabilities of the sites that it wants, and may replace them.

    The sampler owns the clock and calls `before_step` and `after_step`; a backbone calls `wants` and `edit`.
    """

    def wants(self, site: AttentionSite) -> bool:
        """Whether this site takes the explicit path and is handed to `edit`."""
        ...

    def edit(self, probs: Float[Tensor, "B h N M"], site: AttentionSite) -> Float[Tensor, "B h N M"]:
        """Return the probabilities to use in place of `probs`, which sum to one over M."""
        ...

    def before_step(self, step: int) -> None:
        """Sampling step `step` (0-based) begins."""
        ...

    def after_step(self, step: int, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Sampling step `step` ended with `latents`; return the ones to go on with."""
        ...


class Uncontrolled:
    """An `AttentionControl` that lets everything be; a base for those that want no site."""

    def wants(self, site: AttentionSite) -> bool:
        """No site."""
        return False

    def edit(self, probs: Float[Tensor, "B h N M"], site: AttentionSite) -> Float[Tensor, "B h N M"]:
        """The same maps."""
        return probs

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, latents: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """The same latents."""
        return latents
