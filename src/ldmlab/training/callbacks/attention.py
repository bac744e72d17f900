"""Heat maps during training: where samples of the averaged weights attend to the words of their prompts."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ldmlab.drawing.conditions import Batch
from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.maps.map_groups import word_sites
from ldmlab.editing.maps.word_maps import MapColumns, sample_with_maps
from ldmlab.pictures.heatmaps import heat_sheet, map_size
from ldmlab.training.callbacks.grids import DrawSheet
from ldmlab.training.latent_diffusion import LatentDiffusionTraining


def attention_drawer(
    module: LatentDiffusionTraining, drawing: Drawing, batch: Batch, prompts: Sequence[str]
) -> DrawSheet:
    """The pictures of `sample_drawer` again, a row each, with the map of each word over all sites and steps.

    Raises:
        ValueError: the model attends to no words.
    """
    model = module.model
    word_sites(model.denoiser.backbone, "grid_attention=true")
    columns = [MapColumns.of(model.conditioner.words(prompt)) for prompt in prompts]

    def draw() -> Image.Image:
        with module.ema.swapped():
            pictures, maps = sample_with_maps(model, drawing, batch, columns)
        return heat_sheet(pictures, maps.at(map_size(*pictures.shape[-2:])), maps.titles, prompts)

    return draw
