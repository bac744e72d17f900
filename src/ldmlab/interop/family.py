"""What a layout of public weights is: the keys that tell it, the model that they make, the table between the two."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from ldmlab.interop.mapping import Link, Rules
from ldmlab.interop.tensors import Tensors
from ldmlab.models.plain_data import shown

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class ImportHints:
    """What a user may say where the weights themselves do not tell. None takes what is known of the family.

    A hint that nothing asks for is a mistake, and so is one that a file answers itself: `used` counts those asked for.
    """

    heads: int | None = None
    head_width: int | None = None
    latent_scale: float | None = None
    quick_gelu: bool | None = None
    tokenizer: Path | None = None
    image_size: int | None = None
    parameterization: str | None = None
    zero_terminal_snr: bool | None = None
    used: set[str] = field(default_factory=set, compare=False)

    def ask(self, name: str) -> Any:
        """The hint of that name, which counts as used; None where the user gave none."""
        self.used.add(name)
        return getattr(self, name)

    def unless(self, name: str, stated: Any, source: Path) -> Any:
        """What a file says itself, else the hint of that name, or None.

        Args:
            name: of the hint.
            stated: what the file says; None where it says nothing.
            source: the file, for the message.

        Raises:
            ValueError: the file says it, and the hint too.
        """
        given = self.ask(name)
        if stated is not None and given is not None:
            raise ValueError(f"{name}={given}: path={source} says {shown(stated)} itself; leave {name} out")
        return given if stated is None else stated

    def require_used(self) -> None:
        """Refuse hints that nothing asked for.

        Raises:
            ValueError: the first is named.
        """
        for each in fields(self):
            if each.name != "used" and each.name not in self.used and getattr(self, each.name) is not None:
                raise ValueError(
                    f"{each.name}={getattr(self, each.name)}: nothing in this import reads it; leave it out"
                )


Kind = TypeVar("Kind", bound=nn.Module)


@dataclass(frozen=True)
class Component(Generic[Kind]):
    """A part of a model of ours.

    Attributes:
        kind: its class.
        settings: the keys of its config section.
        widths: further arguments, which follow from the other parts when the whole is built.
        constants: tensors of its state that the weights do not hold, for example the statistics of latents.
    """

    kind: type[Kind]
    settings: Mapping[str, Any]
    widths: Mapping[str, Any] = field(default_factory=dict)
    constants: Mapping[str, Tensor] = field(default_factory=dict)

    def setting(self, name: str) -> Any:
        """The value that the config section has for a key, or the constructor's default."""
        return self.settings.get(name, signature(self.kind).parameters[name].default)

    def config(self) -> dict[str, Any]:
        """The config section that builds the part."""
        return {"_target_": f"{self.kind.__module__}.{self.kind.__qualname__}", **self.settings}

    @cached_property
    def outline(self) -> Kind:
        """The part without memory for its weights."""
        with torch.device("meta"):
            return self.kind(**self.settings, **self.widths)


Parts = Mapping[str, Component[Any]]
"""By where they are in a whole model: "backbone", "autoencoder", "conditioner"."""


@dataclass(frozen=True)
class Family:
    """A layout of public weights.

    Attributes:
        title: for people.
        marks: keys that all of its files have and no other family's.
        infer: (tensors, the config.json beside them or {}, hints) -> parts. It infers the architecture.
        table: parts -> links between "PART.NAME" of ours and the names of the layout.
        ignored: (pattern, reason) of keys that may be there and are not used.
        model: the class of diffusers or transformers that has this layout.
    """

    title: str
    marks: tuple[str, ...]
    infer: Callable[[Tensors, Settings, ImportHints], Parts]
    table: Callable[[Parts], list[Link]]
    ignored: Rules = ()
    model: str = ""

    def recognises(self, tensors: Tensors) -> bool:
        """Whether a file has all keys that mark this layout."""
        return all(mark in tensors for mark in self.marks)


def prefixed(part: str, links: Iterable[Link]) -> list[Link]:
    """Links of a part's tensors as links of the whole model's, which have the part's name before theirs."""
    return [Link(tuple(f"{part}.{name}" for name in link.ours), link.theirs, link.form) for link in links]


def require_settings(tensors: Tensors, settings: Settings, allowed: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuse a config.json that asks for what ours does not do.

    Raises:
        ValueError: a key has another value than those allowed; it is named.
    """
    for key, values in allowed.items():
        value = settings.get(key, values[0])
        if value not in values:
            raise ValueError(
                f"path={tensors.source}: its config has {key}={shown(value)}, which ldmlab's model lacks; "
                f"only {' or '.join(map(str, values))} can be imported"
            )


def read_setting(tensors: Tensors, settings: Settings, key: str) -> int | None:
    """A whole number above 0 that a config.json says, or None where it does not have the key.

    Raises:
        ValueError: the value is no such number.
    """
    value = settings.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise ValueError(f"path={tensors.source}: its config has {key}={shown(value)}, where a whole number belongs")
    return value


def count(tensors: Tensors, name: str) -> int:
    """How many of the names name.format(0), name.format(1) ... there are without a gap."""
    found = 0
    while name.format(found) in tensors:
        found += 1
    return found
