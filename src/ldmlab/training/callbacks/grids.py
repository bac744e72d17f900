"""Pictures during training: samples of the averaged weights, or reconstructions, as files and in W&B or TensorBoard."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import lightning as L
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ldmlab.conditioners.image import ImageConditioner
from ldmlab.drawing.conditions import Batch
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.models.latent_diffusion import to_uint8
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.pictures.png import write_png
from ldmlab.ranks import Ranks
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks.beside import beside_training
from ldmlab.training.callbacks.modes import evaluating
from ldmlab.training.callbacks.show import show
from ldmlab.training.callbacks.throughput import clocks_stopped
from ldmlab.training.dev_run import is_dev_run
from ldmlab.training.latent_diffusion import LatentDiffusionTraining

Draw = Callable[[], tuple[UInt8[Tensor, "N 3 H W"], list[str] | None]]
DrawSheet = Callable[[], Image.Image]


@beside_training("the grid of pictures")
class PictureGrid(L.Callback):
    """Writes `step-NNNNNNN.png` every n steps, from rank 0. Training's random numbers are not touched.

    Ranks share what a diffusion model draws.

    A grid that cannot be drawn or written is told of, once, and training goes on.

    Args:
        draw: gives pictures and their labels; None where a subclass says it in `prepare`.
        folder: where the grids go.
        every_n_steps: how often.
        columns: pictures a row.
        maps: gives a sheet of heat maps, for `step-NNNNNNN-attention.png`; None for none.
    """

    def __init__(
        self,
        draw: Draw | None = None,
        folder: Path = Path("pictures"),
        every_n_steps: int = 500,
        columns: int = 4,
        maps: DrawSheet | None = None,
    ) -> None:
        self.draw = draw
        self.folder = folder
        self.every_n_steps = every_n_steps
        self.columns = columns
        self.maps = maps
        self._last = 0

    def prepare(self, trainer: L.Trainer, module: L.LightningModule, data: L.LightningDataModule) -> None:
        """Make `draw` from what a run has. Called before it begins, and from `setup` where nobody has."""

    def setup(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """For a Trainer of the user's own."""
        if self.draw is None:
            self.prepare(trainer, module, trainer.datamodule)  # type: ignore[attr-defined]

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Draw when it is time and at the end, once a step."""
        step = trainer.global_step
        due = step % self.every_n_steps == 0 or step == trainer.max_steps
        if not due or step == self._last:
            return
        self._last = step
        with clocks_stopped(trainer, module):
            with evaluating(module), _averaged(module):
                sheets = self._sheets(trainer.is_global_zero)
            if sheets and not is_dev_run(trainer):
                self._write(trainer, sheets, step)

    def _write(self, trainer: L.Trainer, sheets: Mapping[str, Image.Image], step: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind, sheet in sheets.items():
            suffix = "" if kind == "pictures" else f"-{kind}"
            write_png(self.folder / f"step-{step:07d}{suffix}.png", sheet)
            show(trainer, kind, sheet, step)

    def _sheets(self, is_first: bool) -> dict[str, Image.Image]:
        """Those of rank 0; the others have drawn their share then."""
        if self.draw is None:
            raise ValueError("nobody has said what to draw; give draw=, or say it in prepare")
        pictures, titles = self.draw()
        if not is_first:
            return {}
        sheets = {"pictures": contact_sheet(pictures, titles, columns=self.columns)}
        return sheets if self.maps is None else {**sheets, "attention": self.maps()}


def _averaged(module: L.LightningModule) -> AbstractContextManager[None]:
    """A diffusion model's averages in its place, which ranks that share it put there together."""
    return module.ema.swapped() if isinstance(module, LatentDiffusionTraining) else nullcontext()


def sample_drawer(module: LatentDiffusionTraining, drawing: Drawing, batch: Batch, titles: Sequence[str]) -> Draw:
    """Samples of the averaged weights, one for each condition of a batch, from the same noise every time."""

    def draw() -> tuple[Tensor, list[str]]:
        return _samples(module, drawing, batch), list(titles)

    return draw


def task_drawer(
    module: LatentDiffusionTraining, conditioner: ImageConditioner, drawing: Drawing, batch: Mapping[str, Any]
) -> Draw:
    """For each sample of a batch what its picture is without a model, what the averaged weights draw, and the truth.

    Args:
        module: that is trained.
        conditioner: its model's, which says what a picture is without a model.
        drawing: how, from the same noise every time.
        batch: "images" and "keys", "captions" where there are any, and what else an `ImageConditioner` reads.
    """
    truth = batch["images"]

    def draw() -> tuple[Tensor, list[str]]:
        drawn = conditioner.finish(batch, _samples(module, drawing, batch))
        given = to_uint8(conditioner.naive(batch)).cpu()
        names = batch.get("captions") or batch["keys"]
        titles = [title for name in names for title in (conditioner.shows, name, "truth")]
        return torch.stack([given, drawn, to_uint8(truth).cpu()], dim=1).flatten(0, 1), titles

    return draw


def reconstruction_drawer(module: AutoencoderTraining, images: Callable[[], Tensor]) -> Draw:
    """Images (from a function, so that they are read when first needed) each followed by its reconstruction."""

    def draw() -> tuple[Tensor, None]:
        originals = images().to(module.device)
        mean = module.autoencoder.posterior(originals).mean
        reconstructions = module.autoencoder.reconstruct(mean)
        return torch.stack([to_uint8(originals), to_uint8(reconstructions)], dim=1).flatten(0, 1), None

    return draw


def _samples(module: LatentDiffusionTraining, drawing: Drawing, batch: Batch) -> UInt8[Tensor, "N 3 H W"]:
    """Samples of the averaged weights, of which each rank draws every `world`-th; the same on each.

    Raises:
        RuntimeError: a rank could not draw its share. It is raised on all, who would wait for it otherwise.
    """
    ranks = Ranks(module.global_rank, module.world)
    own: Tensor | str | None = None
    try:
        if seeds := ranks.share(drawing.seeds):
            share = {key: ranks.share(values) for key, values in batch.items()}
            with module.ema.swapped():
                own = sample(module.model, drawing.of(seeds), share).cpu()
    except Exception as error:
        if ranks.world == 1:
            raise
        own = f"{type(error).__name__}: {error}"
    parts = ranks.gather(own)
    for rank, part in enumerate(parts):
        if isinstance(part, str):
            raise RuntimeError(f"rank {rank}: {part}")
    drawn = [part for part in parts if isinstance(part, Tensor)]
    pictures = drawn[0].new_empty(len(drawing.seeds), *drawn[0].shape[1:])
    for rank, part in enumerate(drawn):
        pictures[rank :: ranks.world] = part
    return pictures
