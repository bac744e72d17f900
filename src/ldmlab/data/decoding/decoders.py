"""The libraries that decode pictures, by name."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Literal, get_args

from ldmlab.data.decoding.jpeg import DecodeJpeg, by_simplejpeg, by_torchvision

JPEG: dict[str, DecodeJpeg] = {"simplejpeg": by_simplejpeg, "torchvision": by_torchvision}
"""The quickest first."""
DecoderName = Literal["auto", "pillow", "simplejpeg", "torchvision"]


@dataclass(frozen=True)
class Decoder:
    """How files become pixels, as `decoder_of` chose it.

    Attributes:
        name: "pillow" decodes and scales by Pillow; others decode JPEG by the library that they name, other files by
            Pillow, and scale by PyTorch.
        scaled: JPEG is decoded at 1/2, 1/4 or 1/8 where that is no smaller than what is wanted.
    """

    name: str
    scaled: bool = False

    @property
    def facts(self) -> dict[str, str | bool]:
        """What a checkpoint or a cache remembers, by the keys of `data`."""
        return {"decoder": self.name, "scaled_decoding": self.scaled}


@cache
def decoder_of(name: str = "auto", scaled: bool = False) -> Decoder:
    """Return the decoder of a name; "auto" is the quickest that is installed.

    Raises:
        ValueError: there is none of that name, it is not installed, or it cannot decode at a smaller scale.
    """
    if name not in get_args(DecoderName):
        names = ", ".join(get_args(DecoderName))
        raise ValueError(f"data.decoder={name}: there is none of this name; use one of {names}")
    if name == "auto":
        able = [each for each in JPEG if not (scaled and each == "torchvision")]
        name = next(filter(_is_installed, able), "pillow")
    elif name in JPEG and not _is_installed(name):
        raise ValueError(f"data.decoder={name}: is not installed here; pip install {name}, or use data.decoder=auto")
    if scaled and name == "torchvision":
        why = "cannot decode at a smaller scale, as data.scaled_decoding=true asks"
        raise ValueError(f"data.decoder=torchvision: {why}; use simplejpeg, pillow or auto")
    return Decoder(name, scaled)


def _is_installed(name: str) -> bool:
    try:
        import_module(name)
    except ImportError:
        return False
    return True
