"""What `ldmlab evaluate` draws with a model that is conditioned on pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

from omegaconf import DictConfig

from ldmlab.conditioners.image import ImageConditioner, complete_each
from ldmlab.configs.build import build_drawing
from ldmlab.drawing.computing import ready_to_draw
from ldmlab.drawing.samples import sample
from ldmlab.metrics.restoration import Trial
from ldmlab.models.latent_diffusion import LatentDiffusion, to_uint8
from ldmlab.precision import pick_precision
from ldmlab.samplers.noise import picture_seeds


def restorations(
    cfg: DictConfig, model: LatentDiffusion, batches: Iterable[Mapping[str, Any]], n: int
) -> Iterator[Trial]:
    """Held-out pictures drawn again from what the conditioner leaves of them, each by a seed of its own.

    Raises:
        ValueError: several pictures of a caption are asked for.
    """
    if cfg.pictures_per_caption != 1:
        raise ValueError(
            f"pictures_per_caption={cfg.pictures_per_caption}: this model draws from pictures, one from each; "
            "leave it at 1"
        )
    conditioner = model.conditioner
    assert isinstance(conditioner, ImageConditioner)
    precision = pick_precision(cfg.precision, cfg.device)
    drawing = ready_to_draw(model, build_drawing(cfg, model, picture_seeds(cfg.seed, n), precision), cfg.compile)
    seeds = iter(drawing.seeds)
    for batch in batches:
        own = list(islice(seeds, len(batch["images"])))
        task = complete_each(conditioner, batch, own)
        drawn = conditioner.finish(task, sample(model, drawing.of(own), task))
        asked = [meta.get("asked") for meta in batch["meta"]]
        naive = to_uint8(conditioner.naive(task)).cpu()
        yield Trial(to_uint8(batch["images"]), drawn, naive, asked if all(asked) else None)
