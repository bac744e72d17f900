"""A picture from its inverted noise, and what another prompt makes of the same noise beside it.

Shapes: C latent channels, fH x fW pixels.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ldmlab.editing.inversion.base import Inverted
from ldmlab.guidance.base import Guidance
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.types import AttentionControl, Conditioning, Level


class PairRun:
    """One run of the sampler over two rows: first that of the source prompt, then that of the target prompt.

    Args:
        model: draws them.
        guidance: the method.
        prompts: of source and target.
        inverted: where they start, and what keeps the source on its way.
        control: relates them.
    """

    def __init__(
        self,
        model: LatentDiffusion,
        guidance: Guidance,
        prompts: tuple[str, str],
        inverted: Inverted,
        control: AttentionControl,
    ) -> None:
        self.model, self.inverted, self.control = model, inverted, control
        both = [conditions(model, guidance, prompt) for prompt in prompts]
        cond = Conditioning.cat([mine for mine, _ in both])
        unconds = [Conditioning.cat([opposite for _, opposite in both])]
        if inverted.unconds is not None:
            unconds = [Conditioning.cat([each] * 2) for each in inverted.unconds]
        self.denoisers = [guidance.bind(model.denoiser, cond, each, control) for each in unconds]
        self.step = 0

    @torch.no_grad()
    def draw(self, sampler: Sampler) -> tuple[UInt8[Tensor, "1 3 fH fW"], UInt8[Tensor, "1 3 fH fW"]]:
        """Both pictures. The network always sees two rows, so that on a CPU an edit leaves the source's bytes alone."""
        start = torch.cat([self.inverted.trajectory[0]] * 2)
        levels = sampler.levels(self.model.denoiser.schedule)
        latents = sampler.sample(self._denoise, start, levels, SamplerHooks(self._before_step, self._after_step))
        source, target = (self.model.decode(half).cpu() for half in latents.chunk(2))
        return source, target

    def _denoise(self, x: Tensor, level: Level) -> Tensor:
        denoise = self.denoisers[self.step] if len(self.denoisers) > 1 else self.denoisers[0]
        return denoise(x, level)

    def _before_step(self, step: int) -> None:
        self.step = step
        self.control.before_step(step)

    def _after_step(self, step: int, x: Tensor) -> Tensor:
        return self.control.after_step(step, corrected(self.inverted, step, x))


def corrected(inverted: Inverted, step: int, x: Float[Tensor, "2 C H W"]) -> Float[Tensor, "2 C H W"]:
    """The source back on its trajectory after a step, and the target moved by as much, where the inversion says so."""
    if not inverted.corrects_source:
        return x
    source, target = x.chunk(2)
    wanted = inverted.trajectory[step + 1]
    return torch.cat([wanted, wanted + (target - source) if inverted.corrects_target else target])


def conditions(model: LatentDiffusion, guidance: Guidance, prompt: str) -> tuple[Conditioning, Conditioning]:
    """What to draw, and what to lead away from."""
    batch = model.conditioner.batch([prompt])
    opposite = guidance.opposite(batch)
    return model.conditioner(batch), model.conditioner.null(1) if opposite is None else opposite
