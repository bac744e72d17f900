"""A loaded model as a call wants it: on its device, in its precision, with a way to draw."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from ldmlab.autoencoders.base import Autoencoder
from ldmlab.configs.build import build_drawing, resolved
from ldmlab.configs.errors import as_user_error
from ldmlab.drawing.computing import Compile, ready_to_draw
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.records import drawing_record
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded, require_latent_diffusion
from ldmlab.precision import Precision, pick_precision
from ldmlab.samplers.noise import picture_seeds

AnyLoaded = Loaded[LatentDiffusion] | Loaded[Autoencoder]


@dataclass(frozen=True)
class Ready:
    """What pictures are drawn with.

    Attributes:
        model: on its device, computing as `drawing` says.
        drawing: how; a seed for each picture.
        record: what the pictures say of that, see `drawing_record`.
    """

    model: LatentDiffusion
    drawing: Drawing
    record: Mapping[str, Any]


class Copies:
    """A model with its weights as they are stored, and the copy that the last call computed with.

    Halves and compiled programs change a model for good, so they are made of a copy.

    Args:
        loaded: the model, which stays as it is but for its device.
    """

    def __init__(self, loaded: AnyLoaded) -> None:
        self.loaded = loaded
        self._copied: AnyLoaded | None = None
        self._as: tuple[Precision, Compile] | None = None

    def computing(self, precision: Precision, compile: Compile) -> AnyLoaded:
        """The model on a device, to be made to compute in a precision.

        Args:
            precision: with the device.
            compile: whether its networks may be compiled.
        """
        may_compile = compile is True or (compile == "auto" and precision.device.type == "cuda")
        if not precision.is_half and not may_compile:
            self.loaded.model.to(precision.device)
            return self.loaded
        if self._copied is None or self._as != (precision, compile):
            network: Any = deepcopy(self.loaded.model).to(precision.device)
            copied: Any = replace(self.loaded, model=network)
            self._copied, self._as = copied, (precision, compile)
        return self._copied


def ready(copies: Copies, cfg: Any, count: int) -> Ready:
    """A model and a way to draw with it.

    Args:
        copies: of the model.
        cfg: the config of a command that draws.
        count: pictures.

    Raises:
        ValueError: the sampler, the guidance, the precision or the device does not go with the model or the machine.
    """
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = copies.computing(precision, cfg.compile)
    model = require_latent_diffusion(loaded).model
    stored = None if loaded is copies.loaded else copies.loaded.autoencoder_sha256
    with as_user_error():
        drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, count), precision, stored)
    record = drawing_record(copies.loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    return Ready(model, ready_to_draw(model, drawing, cfg.compile), record)
