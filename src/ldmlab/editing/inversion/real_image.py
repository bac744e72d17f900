"""A given picture, drawn again from its inversion, and edits of it beside it.

Shapes: C latent channels, fH x fW pixels, S steps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from ldmlab.attention.control import AttentionControl, AttentionSite
from ldmlab.editing.inversion.base import Inversion, InversionTask, Inverted
from ldmlab.editing.method import EditTask
from ldmlab.guidance.base import Guidance
from ldmlab.metrics.reconstruction import psnr
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.base import Sampler, SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.euler import Euler
from ldmlab.types import Conditioning, Level

Control = Callable[[Sequence[int]], AttentionControl]
"""From the numbers of the pairs drawn at once to the control of that run, as in `LatentDiffusion.sample_pairs`."""


class Uncontrolled:
    """A control that lets everything be."""

    def wants(self, site: AttentionSite) -> bool:
        """No site."""
        return False

    def edit(self, probs: Tensor, site: AttentionSite) -> Tensor:
        """The same maps."""
        return probs

    def before_step(self, step: int) -> None:
        """Nothing."""

    def after_step(self, step: int, latents: Tensor) -> Tensor:
        """The same latents."""
        return latents


@dataclass(frozen=True)
class InvertedImage:
    """A picture whose inversion is known, to be edited as often as one likes.

    Attributes:
        model: draws it.
        sampler: the method.
        guidance: the method.
        source: its prompt.
        inverted: what leads to it.
        reconstruction: what the sampler makes of that.
        psnr: of the reconstruction against the picture, in dB.
        autoencoder_psnr: the same for what comes back from the latents alone, the most that can be hoped for.
    """

    model: LatentDiffusion
    sampler: Sampler
    guidance: Guidance
    source: str
    inverted: Inverted
    reconstruction: UInt8[Tensor, "1 3 fH fW"]
    psnr: float
    autoencoder_psnr: float

    @property
    def note(self) -> str:
        """How good the inversion is, in a line."""
        return f"reconstruction: {self.psnr:.2f} dB PSNR; the autoencoder alone: {self.autoencoder_psnr:.2f} dB"

    def edit(
        self, target: str, control: Control | None = None
    ) -> tuple[UInt8[Tensor, "1 3 fH fW"], UInt8[Tensor, "1 3 fH fW"]]:
        """The picture again, and what `target` makes of its noise beside it; without control, the prompt alone."""
        ruler = Uncontrolled() if control is None else control([0])
        return draw_pair(self.model, self.sampler, self.guidance, (self.source, target), self.inverted, ruler)


@torch.no_grad()
def invert_image(task: EditTask, inversion: Inversion) -> InvertedImage:
    """Invert `task.image` under its prompt `task.source`, and draw it again; `task.target` is not read.

    Raises:
        ValueError: no picture or no prompt, a picture of another size than the model's, a sampler that cannot be
            inverted, or a guidance that the method cannot undo.
    """
    image, source = _require_picture(task)
    require_invertible(task.sampler)
    model, guidance = task.model, task.guidance
    device = model.autoencoder.latent_mean.device
    if isinstance(guidance, nn.Module):
        guidance.to(device)
    latents, _ = model.autoencoder.moments(image.to(device).float() / 127.5 - 1)
    cond, uncond = _conditions(model, guidance, source)
    levels = task.sampler.levels(model.denoiser.schedule)
    with torch.enable_grad():
        inverted = inversion.invert(InversionTask(latents, cond, uncond, model.denoiser, guidance, levels))
    drawn, _ = draw_pair(model, task.sampler, guidance, (source, source), inverted, Uncontrolled())
    quality = [float(psnr(picture, image)) for picture in (drawn, model.decode(latents).cpu())]
    return InvertedImage(model, task.sampler, guidance, source, inverted, drawn, *quality)


def require_invertible(sampler: Sampler) -> None:
    """Refuse a sampler that is not DDIM without noise under one of its names.

    Raises:
        ValueError: it is stochastic, or of higher order.
    """
    if isinstance(sampler, Euler) or (isinstance(sampler, DDIM) and sampler.eta == 0):
        return
    name = type(sampler).__module__.rpartition(".")[2]
    given = f"sampler.eta={sampler.eta}" if isinstance(sampler, DDIM) else f"sampler={name}"
    raise ValueError(
        f"{given}: inversion needs a sampler of first order without noise; use sampler=ddim sampler.eta=0"
    )


@torch.no_grad()
def draw_pair(
    model: LatentDiffusion,
    sampler: Sampler,
    guidance: Guidance,
    prompts: tuple[str, str],
    inverted: Inverted,
    control: AttentionControl,
) -> tuple[UInt8[Tensor, "1 3 fH fW"], UInt8[Tensor, "1 3 fH fW"]]:
    """Two pictures from the inverted noise, side by side: that of the source prompt and that of the target prompt.

    Both always make passes of two rows, so that on a CPU the bytes of the first do not depend on the second.
    """
    cond, uncond = (Conditioning.cat(pair) for pair in zip(*(_conditions(model, guidance, p) for p in prompts), strict=True))
    unconds = [uncond] if inverted.unconds is None else [Conditioning.cat([each] * 2) for each in inverted.unconds]
    bound = [guidance.bind(model.denoiser, cond, each, control) for each in unconds]
    now = 0

    def before_step(step: int) -> None:
        nonlocal now
        now = step
        control.before_step(step)

    def after_step(step: int, x: Tensor) -> Tensor:
        return control.after_step(step, corrected(inverted, step, x))

    def denoise(x: Tensor, level: Level) -> Tensor:
        return bound[min(now, len(bound) - 1)](x, level)

    start = torch.cat([inverted.trajectory[0]] * 2)
    hooks = SamplerHooks(before_step, after_step)
    source, target = sampler.sample(denoise, start, sampler.levels(model.denoiser.schedule), hooks).chunk(2)
    return model.decode(source).cpu(), model.decode(target).cpu()


def corrected(inverted: Inverted, step: int, x: Float[Tensor, "2 C H W"]) -> Float[Tensor, "2 C H W"]:
    """The source back on its trajectory after a step, and the target moved by as much, where the inversion says so."""
    if not inverted.corrects_source:
        return x
    source, target = x.chunk(2)
    wanted = inverted.trajectory[step + 1]
    return torch.cat([wanted, wanted + (target - source) if inverted.corrects_target else target])


def _conditions(model: LatentDiffusion, guidance: Guidance, prompt: str) -> tuple[Conditioning, Conditioning]:
    """What to draw, and what to lead away from."""
    batch = model.conditioner.batch([prompt])
    opposite = guidance.opposite(batch)
    return model.conditioner(batch), model.conditioner.null(1) if opposite is None else opposite


def _require_picture(task: EditTask) -> tuple[UInt8[Tensor, "1 3 fH fW"], str]:
    if task.image is None or task.source is None:
        raise ValueError("inversion: needs a picture and the prompt that describes it; give image=FILE source=PROMPT")
    wanted = [task.model.autoencoder.factor * side for side in task.model.latent_shape[1:]]
    if [*task.image.shape[1:]] != wanted:
        sizes = ["x".join(map(str, sides)) for sides in (task.image.shape[1:], wanted)]
        raise ValueError(f"image: is {sizes[0]} pixels, and the model draws {sizes[1]}; resize or crop it")
    return task.image[None].cpu(), task.source
