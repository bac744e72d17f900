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


def write_png(path: Path, image: Image.Image, settings: Mapping[str, Any] | None = None) -> None:
    """Write a picture atomically, with its settings in text chunks (iTXt, so that prompts are of any script).

    Args:
        path: of the file.
        image: the picture.
        settings: plain JSON data; its "prompt", if any, is also the picture's description.
    """
    info = PngInfo()
    info.add_text("Software", f"ldmlab {__version__}")
    if settings is not None:
        if settings.get("prompt") is not None:
            info.add_itxt("Description", str(settings["prompt"]))
        info.add_itxt(KEY, json.dumps(settings, ensure_ascii=False))
    with atomic_file(path) as file:
        image.save(file, format="PNG", pnginfo=info)


def read_settings(path: Path) -> dict[str, Any] | None:
    """The settings that a whole picture was written with; None for another file, or a damaged one."""
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            settings = json.loads(image.info[KEY])
    except Exception:  # codecs raise what they like on damaged bytes
        return None
    return settings if isinstance(settings, dict) else None
