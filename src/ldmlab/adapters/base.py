"""What every adapter is: layers in the place of a backbone's own, with few weights beside those that stay."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Size, nn


class AdaptedLayer(nn.Module, ABC):
    """A layer with the parameters of the one in whose place it stands, by the same names, and some of its own.

    Attributes:
        scale: what its own parameters' part is multiplied by; 0 is the layer as it was.
    """

    own: ClassVar[tuple[str, ...]]
    """Names of the adapter's parameters."""
    scale: float = 1.0

    @abstractmethod
    def merged(self) -> nn.Module:
        """The layer of the original kind that does the same, to rounding."""


class Adapter(ABC):
    """Says which layers of a backbone are adapted, and how."""

    @abstractmethod
    def attach(self, backbone: nn.Module) -> None:
        """Put adapted layers in the places of the backbone's; it computes what it did, to the bit, until they learn.

        Raises:
            ValueError: the backbone has no such layer.
        """

    @abstractmethod
    def shapes(self, backbone: nn.Module) -> dict[str, Size]:
        """The shapes of all parameters that `attach` would add, by name in the backbone; takes no memory.

        Raises:
            ValueError: as `attach`.
        """


def adapted_layers(module: nn.Module) -> Iterator[tuple[str, AdaptedLayer]]:
    """The adapted layers in a module, by their names."""
    return ((name, part) for name, part in module.named_modules() if isinstance(part, AdaptedLayer))


def adapter_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that adapters have added to a module, by name; none where nothing is adapted."""
    return {f"{name}.{own}": layer.get_parameter(own) for name, layer in adapted_layers(module) for own in layer.own}


def train_adapter_alone(module: nn.Module) -> None:
    """Freeze every parameter of a module but those of its adapter."""
    module.requires_grad_(False)
    for parameter in adapter_parameters(module).values():
        parameter.requires_grad_(True)


def scale_adapter(module: nn.Module, scale: float) -> None:
    """Set how much of its adapter a module shows: 0 nothing, 1 all that was trained."""
    for _, layer in adapted_layers(module):
        layer.scale = scale


def merge_adapter(module: nn.Module) -> None:
    """Put what a module's adapter says, at its scale, into the weights that it stands beside, and take it away."""
    for name, layer in list(adapted_layers(module)):
        replace_layer(module, name, layer.merged())


def replace_layer(module: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of the one of that dotted name."""
    path, _, last = name.rpartition(".")
    setattr(module.get_submodule(path), last, layer)
