"""A given picture, inverted and drawn again, and edits of it.

Shapes: fH x fW pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from ldmlab.drawing.conditions import Subject, conditions
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.sampling_plan import Control
from ldmlab.editing.inversion.base import Inversion, InversionTask, Inverted
from ldmlab.editing.inversion.pair import draw_inverted
from ldmlab.editing.methods.base import EditTask, SheetRow
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.samplers.base import Sampler
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.euler import Euler
from ldmlab.types import Uncontrolled


@dataclass(frozen=True)
class InvertedImage:
    """A picture whose inversion is known, to be edited as often as one likes.

    Attributes:
        model: draws it.
        drawing: how.
        source: its prompt.
        inverted: what leads to it.
        reconstruction: what the sampler makes of that.
        psnr: of the reconstruction against the picture, in dB, infinite where it is exact.
        autoencoder_psnr: the same for what comes back from the latents alone, the most that can be hoped for.
    """

    model: LatentDiffusion
    drawing: Drawing
    source: str
    inverted: Inverted
    reconstruction: UInt8[Tensor, "1 3 fH fW"]
    psnr: float
    autoencoder_psnr: float

    @property
    def row(self) -> SheetRow:
        """The reconstruction, over its prompt and its PSNR, for a contact sheet."""
        quality = "exact" if math.isinf(self.psnr) else f"{self.psnr:.1f} dB"
        return SheetRow(f"{self.source} ({quality})", self.reconstruction)

    @property
    def note(self) -> str:
        """The PSNR of the reconstruction and that of the autoencoder alone, in a line for the user."""
        whole = "exact" if math.isinf(self.psnr) else f"{self.psnr:.2f} dB PSNR"
        bound = "exact" if math.isinf(self.autoencoder_psnr) else f"{self.autoencoder_psnr:.2f} dB"
        return f"reconstruction: {whole}; the autoencoder alone: {bound}"

    def edit(
        self, target: str, control: Control | None = None
    ) -> tuple[UInt8[Tensor, "1 3 fH fW"], UInt8[Tensor, "1 3 fH fW"]]:
        """The picture again, and what `target` makes of its noise beside it; without control, the prompt alone.

        Under a control the picture may differ from `reconstruction` by rounding, because the sites that it wants are
        computed another way; under direct inversion it does not.
        """
        run_control = Uncontrolled() if control is None else control([0])
        return draw_inverted(self.model, self.drawing, (self.source, target), self.inverted, run_control)


@torch.no_grad()
def invert_image(task: EditTask, inversion: Inversion) -> InvertedImage:
    """Invert `task.image` under the first of `task.sources`, and draw it again; targets are not read.

    Raises:
        ValueError: no picture or no prompt, a picture of another size than the model's, a sampler that cannot be
            inverted, or a guidance that the method cannot undo.
    """
    from ldmlab.metrics.fidelity.psnr import psnr  # whose room imports torchmetrics

    model, drawing = task.model, task.drawing
    require_invertible(drawing.sampler)
    image, source = _require_picture(task)
    with drawing.running(model):
        latents = model.encode(image)
        made = conditions(model, drawing.guidance, Subject(model.conditioner.batch([source])), [0])
        drawing.guidance.bind(model.denoiser, made.cond, made.uncond)  # refuses conditions before anything is sought
        levels = drawing.sampler.levels(model.denoiser.schedule)
        inverted = inversion.invert(InversionTask(latents, made, model.denoiser, drawing.guidance, levels))
        drawn, _ = draw_inverted(model, drawing, (source, source), inverted, Uncontrolled())
        decoded = model.decode(latents).cpu()
    quality = [float(psnr(picture, image)) for picture in (drawn, decoded)]
    return InvertedImage(model, drawing, source, inverted, drawn, *quality)


def require_invertible(sampler: Sampler) -> None:
    """Refuse a sampler that is not DDIM without noise, under this name or as Euler's method.

    Raises:
        ValueError: it is stochastic, or of higher order.
    """
    if isinstance(sampler, Euler) or (isinstance(sampler, DDIM) and sampler.eta == 0):
        return
    name = type(sampler).__module__.rpartition(".")[2]
    given = f"sampler.eta={sampler.eta:g}" if isinstance(sampler, DDIM) else f"sampler={name}"
    raise ValueError(f"{given}: inversion needs a sampler of first order without noise; use sampler=ddim sampler.eta=0")


def _require_picture(task: EditTask) -> tuple[UInt8[Tensor, "1 3 fH fW"], str]:
    if task.image is None or task.sources is None:
        raise ValueError("inversion: needs a picture and the prompt that describes it; give image=FILE source=PROMPT")
    sides = [*task.image.shape[1:]]
    wanted = [task.model.autoencoder.factor * side for side in task.model.latent_shape[1:]]
    if sides != wanted:
        given, drawn = ("x".join(map(str, pair)) for pair in (sides, wanted))
        raise ValueError(f"image: is {given} pixels, and the model draws {drawn}; crop or resize it")
    return task.image[None].cpu(), task.sources[0]
