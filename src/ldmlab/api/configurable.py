"""What a model in a program or a notebook knows of itself, and of how it computes where a call does not say."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from threading import RLock
from typing import Any, TypeVar, cast

from torch import nn

from ldmlab.api.arguments import refuse_unread
from ldmlab.api.ready import AnyLoaded, Copies
from ldmlab.configs.calls import Overrides, configured
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import Loaded, require_latent_diffusion

Method = TypeVar("Method", bound=Callable[..., Any])


def one_at_a_time(method: Method) -> Method:
    """A method of a model that waits for those that run in other threads: an edit watches the model's attention."""

    @wraps(method)
    def alone(self: Any, *given: Any, **named: Any) -> Any:
        with self._lock:
            return method(self, *given, **named)

    return cast(Method, alone)


class Configurable:
    """A loaded model whose calls are configured as commands are.

    Args:
        loaded: the model, from `ldmlab.models.loading`.
        name: what the user called it; None for the one that is taken where none is named.
        device: "auto", "cpu" or "cuda".
        precision: "auto", "bf16", "fp16", "tf32" or "fp32".
        compile: True, False, or "auto" for where it pays.
    """

    def __init__(
        self,
        loaded: AnyLoaded,
        name: str | None = None,
        device: str = "auto",
        precision: str = "auto",
        compile: bool | str = "auto",
    ) -> None:
        self.name = name
        self._copies = Copies(loaded)
        self._lock = RLock()
        self._computing = {"device": device, "precision": precision, "compile": compile}

    @property
    def path(self) -> Path:
        """The file that it came from."""
        return self._copies.loaded.path

    @property
    def network(self) -> nn.Module:
        """The PyTorch module with the weights as they are stored: a `LatentDiffusion`, or an `Autoencoder`."""
        return self._copies.loaded.model

    @property
    def image_size(self) -> int:
        """Side of the pictures that it was trained on, in pixels."""
        return int(self._copies.loaded.checkpoint.config["image_size"])

    @property
    def reads(self) -> str:
        """What pictures are drawn from: "prompts", "class numbers", "pictures", "nothing"; an autoencoder's own."""
        model = self.network
        if not isinstance(model, LatentDiffusion):
            return "pictures"
        kinds = {"captions": "prompts", "labels": "class numbers", "images": "pictures"}
        return " and ".join(kinds.get(key, key) for key in sorted(model.conditioner.reads)) or "nothing"

    def __repr__(self) -> str:
        model = self.network
        kind = type(model.denoiser.backbone if isinstance(model, LatentDiffusion) else model).__name__
        millions = sum(weight.numel() for weight in model.parameters()) / 1e6
        size = f"{self.image_size} x {self.image_size} pixels"
        return f"<ldmlab model {self.path}: {kind}, {millions:.1f} M parameters, {size}, reads {self.reads}>"

    def _drawing_model(self) -> Loaded[LatentDiffusion]:
        return require_latent_diffusion(self._copies.loaded)

    def _configured(
        self,
        command: str,
        keys: Mapping[str, Any],
        overrides: Overrides,
        device: str | None,
        precision: str | None,
        in_memory: Sequence[str] = (),
    ) -> Any:
        """The config of a command that draws."""
        refuse_unread(overrides)
        own = {"device": device, "precision": precision}
        computing = {**self._computing, **{key: value for key, value in own.items() if value is not None}}
        return configured(command, {**keys, **computing}, overrides, in_memory)
