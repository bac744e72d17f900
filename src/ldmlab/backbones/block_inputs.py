"""What every block of a backbone reads besides the features that it updates.

Shapes: B batch, E width of the embedding, L context tokens, Dc context width.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from ldmlab.types import AttentionControl


@dataclass(frozen=True)
class BlockInputs:
    """What one pass hands to every block alike, beside the features: `block(x, inputs) -> x`.

    Attributes:
        embedding: of the timestep, and of the conditioning vector where there is one.
        grid: rows and columns of the picture's tokens.
        context: tokens to attend to; None where there are none, or where they are in the sequence.
        mask: True where a token may be attended to: of the context, or of a sequence that holds it.
        control: sees the attention probabilities, and may replace them; None where nobody looks.
    """

    embedding: Float[Tensor, "B E"]
    grid: tuple[int, int]
    context: Float[Tensor, "B L Dc"] | None = None
    mask: Bool[Tensor, "B M"] | None = None
    control: AttentionControl | None = None
