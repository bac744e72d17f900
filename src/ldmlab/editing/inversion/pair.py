"""A picture from its inverted noise, and what another prompt makes of the same noise beside it.

Shapes: C latent channels, H x W latent grid, fH x fW pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.drawing.conditions import Conditions, Subject
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.loop import draw
from ldmlab.drawing.sampling_plan import SamplingPlan
from ldmlab.editing.inversion.base import Inverted
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import SamplerHooks
from ldmlab.types import AttentionControl, Conditioning


def draw_inverted(
    model: LatentDiffusion,
    drawing: Drawing,
    prompts: Sequence[str],
    inverted: Inverted,
    control: AttentionControl,
) -> tuple[UInt8[Tensor, "1 3 fH fW"], UInt8[Tensor, "1 3 fH fW"]]:
    """The pictures of the source prompt and of the target prompt, from one inverted noise.

    The network always sees two rows, so that on a CPU an edit leaves the source's bytes alone.

    Args:
        model: draws them.
        drawing: how; seeds do not matter, since no noise is drawn.
        prompts: of source and target.
        inverted: where they start, and what keeps the source on its way.
        control: relates them.
    """

    def from_inversion(plan: SamplingPlan) -> SamplingPlan:
        return replace(
            plan,
            x=torch.cat([inverted.trajectory[0]] * 2),
            conditions=_of_each_step(plan.conditions, inverted.unconds),
            hooks=SamplerHooks(after_step=partial(corrected, inverted)),
            control=control,
        )

    subjects = [Subject(model.conditioner.batch([prompt])) for prompt in prompts]
    source, target = draw(model, drawing.of([0]), subjects, from_inversion, at_once=1)
    return source, target


def _of_each_step(same: Sequence[Conditions], unconds: Sequence[Conditioning] | None) -> Sequence[Conditions]:
    """Those that the inversion found, for both rows, where it sought any."""
    if unconds is None:
        return same
    return [Conditions(same[0].cond, Conditioning.cat([uncond] * 2)) for uncond in unconds]


def corrected(inverted: Inverted, step: int, x: Float[Tensor, "2 C H W"]) -> Float[Tensor, "2 C H W"]:
    """The source back on its trajectory after a step, and the target moved by as much, where the inversion says so."""
    if not inverted.corrects_source:
        return x
    source, target = x.chunk(2)
    wanted = inverted.trajectory[step + 1]
    return torch.cat([wanted, wanted + (target - source) if inverted.corrects_target else target])
