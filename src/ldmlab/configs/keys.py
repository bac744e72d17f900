"""The ranges of keys that belong to a command itself. Keys of components are checked by their constructors."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

Seed = Annotated[int, Field(ge=0, strict=True)]
Count = Annotated[int, Field(ge=1, strict=True)]
PathText = Annotated[str, Field(min_length=1)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "fp16", "tf32", "fp32"]
Compile = Literal["auto", True, False]
VERBATIM = "verbatim"
Prompt = Annotated[str, Field(min_length=1), VERBATIM]
"""Text of any kind, which may hold commas and brackets."""


class Keys(BaseModel):
    """Keys that no group brings in; others are refused."""

    model_config = ConfigDict(extra="forbid", defer_build=True)


class AnyKeys(BaseModel):
    """Where nothing is known of the ranges."""

    model_config = ConfigDict(extra="allow", defer_build=True)


class ModelKeys(Keys):
    """What draws with a trained model."""

    ckpt: PathText | None
    adapter_ckpt: PathText | None
    adapter_scale: Annotated[float, Field(allow_inf_nan=False)]
    seed: Seed
    batch_size: Count
    ema: bool
    device: Device
    precision: Precision
    compile: Compile
    output_dir: PathText


class ManyKeys(ModelKeys):
    """What draws or measures, on several devices if it is to be."""

    devices: Count | Literal["auto"]
    num_nodes: Count


def chosen_keys(keys: type[BaseModel]) -> frozenset[str]:
    """The keys that are one of few values or may hold a mapping, which their defaults do not show."""
    return frozenset(name for name, field in keys.model_fields.items() if _takes_more(field.annotation))


def types_in_sections(keys: type[BaseModel]) -> dict[str, Any]:
    """The types that a command itself says of keys of its sections, by their dotted names.

    What is of such a type is right without asking the section's component, which would have to be imported: Lightning's
    Trainer takes seconds.
    """
    found: dict[str, Any] = {}
    for name, field in keys.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            found |= {f"{name}.{key}": inner.annotation for key, inner in field.annotation.model_fields.items()}
    return found


def _takes_more(wanted: Any) -> bool:
    return any(get_origin(part) in (dict, Literal) for part in (wanted, *get_args(wanted)))


def verbatim(keys: type[BaseModel]) -> set[str]:
    """The keys whose value is text of any kind."""
    return {
        name
        for name, field in keys.model_fields.items()
        if _is_verbatim(field.annotation) or VERBATIM in field.metadata
    }


def _is_verbatim(annotation: Any) -> bool:
    return VERBATIM in getattr(annotation, "__metadata__", ()) or any(map(_is_verbatim, get_args(annotation)))
