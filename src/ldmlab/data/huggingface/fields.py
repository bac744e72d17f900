"""Which columns of a dataset hold pictures, captions and classes, by their types and names."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow

AUTO, NONE = "auto", "none"
IMAGES = ("image", "img", "picture", "photo", "jpg", "jpeg", "png", "webp")
CAPTIONS = ("caption", "captions", "text", "prompt", "sentence", "sentences", "description", "alt_text", "title")
LABELS = ("label", "labels", "class", "class_id", "cls", "fine_label")
"""Names that are looked for, in any case, the first that is there."""
MADE = {"caption", "key", "status", "error_message", "width", "height", "original_width", "original_height"}
"""What a sample's json has of its own."""


@dataclass(frozen=True)
class Fields:
    """Names of columns, None for none, of what else goes into the json, and of the classes by their numbers."""

    image: str
    caption: str | None
    label: str | None
    more: tuple[str, ...]
    classes: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        """All that is read."""
        return [name for name in (self.image, self.caption, self.label, *self.more) if name is not None]


def find_fields(schema: pyarrow.Schema, image: str = AUTO, caption: str = AUTO, label: str = AUTO) -> Fields:
    """Find the columns of a table.

    Args:
        schema: of the table, with what `datasets` notes in it, if it does.
        image: a name, or "auto" for the column of pictures.
        caption: a name, "none", or "auto" for one of `CAPTIONS`, if there is one.
        label: a name, "none", or "auto" for a ClassLabel, or whole numbers with one of the names `LABELS`.

    Raises:
        ValueError: there is none, it is of another type, or there are several; the names that there are are told.
    """
    kinds = _features(schema)

    def holds_pictures(field: pyarrow.Field) -> bool:
        return kinds.get(field.name, {}).get("_type") == "Image" or _is_picture(field.type)

    picture = _find(schema, "image", image, IMAGES, holds_pictures)
    if picture is None:
        raise ValueError(f"dataset.path: has no column of pictures, but {_shown(schema)}; see dataset.image_column")
    words = _find(schema, "caption", caption, CAPTIONS, lambda field: _is_text(field.type), by_name=True)
    classed = [name for name in schema.names if kinds.get(name, {}).get("_type") == "ClassLabel"]
    number = _find(schema, "label", label, (*map(str.lower, classed), *LABELS), _is_whole, by_name=True)
    names = kinds[number].get("names") if number is not None and number in classed else None
    taken = {picture, words, number} | MADE
    more = tuple(field.name for field in schema if field.name not in taken and _fits_json(field.type))
    return Fields(picture, words, number, more, tuple(map(str, names)) if isinstance(names, list) else ())


def _find(
    schema: pyarrow.Schema,
    what: str,
    given: str,
    names: Sequence[str],
    fits: Callable[[pyarrow.Field], bool],
    by_name: bool = False,
) -> str | None:
    """The column that is named; else the one of a fitting type with a known name, or the only one, if that will do."""
    if given == NONE:
        return None
    if given != AUTO:
        if given not in schema.names:
            raise ValueError(f"dataset.{what}_column={given}: there is no such column, but {_shown(schema)}")
        if not fits(schema.field(given)):
            raise ValueError(f"dataset.{what}_column={given}: is {schema.field(given).type}, no {what}; name another")
        return given
    fitting = [field.name for field in schema if fits(field)]
    lower = {name.lower(): name for name in reversed(fitting)}
    found = next((lower[name] for name in names if name in lower), None)
    if found is None and not by_name and len(fitting) > 1:
        raise ValueError(f"dataset.{what}_column: {', '.join(fitting)} could be it; name one by dataset.{what}_column=")
    return found or (fitting[0] if fitting and not by_name else None)


def _shown(schema: pyarrow.Schema) -> str:
    return ", ".join(f"{field.name} ({field.type})"[:60] for field in schema) or "none at all"


def _features(schema: pyarrow.Schema) -> dict[str, dict[str, Any]]:
    """What `datasets` notes of the columns; nothing where a file is another's."""
    with suppress(ValueError, KeyError, TypeError, RecursionError):
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: kind for name, kind in features.items() if isinstance(kind, dict)}
    return {}


def _is_picture(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    if types.is_struct(kind):
        return kind.get_field_index("bytes") >= 0 and _is_picture(kind.field("bytes").type)
    return bool(types.is_binary(kind) or types.is_large_binary(kind))


def _is_text(kind: pyarrow.DataType) -> bool:
    """Texts, or lists of texts, of which the first counts."""
    from pyarrow import types

    if types.is_dictionary(kind) or types.is_list(kind) or types.is_large_list(kind):
        return _is_text(kind.value_type)
    return bool(types.is_string(kind) or types.is_large_string(kind))


def _is_whole(field: pyarrow.Field) -> bool:
    from pyarrow import types

    return bool(types.is_integer(field.type))


def _fits_json(kind: pyarrow.DataType) -> bool:
    from pyarrow import types

    is_plain = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return bool(is_plain or types.is_string(kind) or types.is_large_string(kind))
