"""PNG files that say how their picture was drawn."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ldmlab import __version__
from ldmlab.atomic import atomic_file

KEY = "ldmlab"
"""Keyword of the text chunk with the settings, in JSON; "Description" and "Software" are PNG's own."""


def text_of(settings: Mapping[str, Any] | None) -> dict[str, str]:
    """What a picture's text chunks say, by keyword.

    Args:
        settings: plain JSON data; its "prompt", if any, is also the picture's description.
    """
    text = {"Software": f"ldmlab {__version__}"}
    if settings is None:
        return text
    if settings.get("prompt") is not None:
        text["Description"] = str(settings["prompt"])
    return {**text, KEY: json.dumps(settings, ensure_ascii=False)}


def with_settings(image: Image.Image, settings: Mapping[str, Any]) -> Image.Image:
    """The picture, which says in its `info` what a file of it would say when it is opened."""
    image.info.update(text_of(settings))
    return image


def settings_of(image: Image.Image) -> dict[str, Any] | None:
    """The settings that a picture was drawn with, if it says so; see `with_settings`."""
    try:
        settings = json.loads(image.info[KEY])
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    return settings if isinstance(settings, dict) else None


def write_png(path: Path, image: Image.Image, settings: Mapping[str, Any] | None = None) -> None:
    """Write a picture atomically, with its settings in text chunks (iTXt, so that prompts are of any script).

    Args:
        path: of the file.
        image: the picture.
        settings: plain JSON data; its "prompt", if any, is also the picture's description.
    """
    info = PngInfo()
    for keyword, text in text_of(settings).items():
        (info.add_text if keyword == "Software" else info.add_itxt)(keyword, text)
    with atomic_file(path) as file:
        image.save(file, format="PNG", pnginfo=info)


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings that a whole picture was written with; None for another file, or a damaged one."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            return settings_of(image)
    except Exception:  # codecs raise what they like on damaged bytes
        return None
