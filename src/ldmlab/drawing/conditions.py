"""The one rule by which conditions are made: what to draw, and what to lead away from.

Shapes: N pictures, B of them drawn at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ldmlab.guidance.base import Guidance
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.precision import at_least_fp32
from ldmlab.types import Conditioning

Batch = Mapping[str, Sequence[Any]]
"""What a conditioner reads, for example `{"captions": [...]}`: every value has an entry for each picture."""


def read_of(model: LatentDiffusion, guidance: Guidance, batch: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """What a model and its guidance read of a batch of data.

    Raises:
        ValueError: the data lack a key that is read.
    """
    reads = model.conditioner.reads | guidance.reads
    lacking = sorted(reads - batch.keys())
    if lacking:
        name = type(model.conditioner).__name__
        raise ValueError(f"conditioner: {name} reads '{lacking[0]}', which the data lack; give data that have it")
    return {key: batch[key] for key in sorted(reads)}


@dataclass(frozen=True)
class Subject:
    """What N pictures are to show, as their conditioner reads it.

    Attributes:
        batch: what the conditioner reads; None for the null condition, which only goes without guidance.
        negative: what guidance leads away from in place of the null condition, None for that; what it lacks, such as
            a picture, is that of `batch`.
    """

    batch: Batch | None
    negative: Batch | None = None


@dataclass(frozen=True)
class Conditions:
    """What guidance is bound to, of B rows.

    Attributes:
        cond: what to draw.
        uncond: what to lead away from; None where guidance leads away from nothing.
    """

    cond: Conditioning
    uncond: Conditioning | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> Conditions:
        """Apply a function to every field of `cond` and `uncond`."""
        return Conditions(self.cond.map(function), None if self.uncond is None else self.uncond.map(function))

    @staticmethod
    def cat(parts: Sequence[Conditions]) -> Conditions:
        """The conditions of several batches as those of one, row after row."""
        unconds = [part.uncond for part in parts if part.uncond is not None]
        return Conditions(
            Conditioning.cat([part.cond for part in parts]), Conditioning.cat(unconds) if unconds else None
        )


def conditions(model: LatentDiffusion, guidance: Guidance, subject: Subject, rows: Sequence[int]) -> Conditions:
    """The conditions of some of a subject's pictures, where the model is, in fp32 at least.

    A guidance with a model of its own is brought there too, and leads away from that model's reading of the batch.

    Args:
        model: reads them.
        guidance: the method.
        subject: what the N pictures show.
        rows: the numbers of B of them; a number may come again.

    Raises:
        ValueError: the conditioner cannot read them, or a negative is given that the guidance makes no use of.
    """
    if isinstance(guidance, nn.Module):
        guidance.to(model.device)
    return _made(model, guidance, subject, rows).map(at_least_fp32)


def _made(model: LatentDiffusion, guidance: Guidance, subject: Subject, rows: Sequence[int]) -> Conditions:
    if subject.batch is None:
        return Conditions(model.conditioner.null(len(rows)))
    batch = _pick(subject.batch, rows)
    cond, opposite = model.conditioner(batch), guidance.opposite(batch)
    settled = opposite is not None or isinstance(guidance, NoGuidance)
    if subject.negative is not None and settled:
        raise ValueError(
            "negative_prompt: this guidance makes no use of a negative prompt; use guidance=classifier_free"
        )
    if settled:
        return Conditions(cond, opposite)
    if subject.negative is None:
        return Conditions(cond, model.conditioner.null_beside(cond, len(rows)))
    return Conditions(cond, model.conditioner({**batch, **_pick(subject.negative, rows)}))


def _pick(batch: Batch, rows: Sequence[int]) -> dict[str, list[Any]]:
    return {key: [values[row] for row in rows] for key, values in batch.items()}
