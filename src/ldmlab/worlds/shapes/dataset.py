"""The shapes dataset: scenes drawn on demand, with captions and what they ask for."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image

from ldmlab.data.sample_source import SPLITS, Sample, check_split
from ldmlab.worlds.shapes.captions import caption
from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import COLOURS, SHAPES, Scene, random_scene

HELDOUT_FRACTION = 0.1
"""Fraction of all scene identities that belongs to the held-out split, whatever the number of samples."""

WORLD_VERSION = 3
"""Raise it when scenes, pictures or captions change for a seed, so that no folder mixes two worlds."""


def split_of(scene: Scene) -> str:
    """Return the split a scene belongs to: a hash of its identity, so the same for every seed and size of dataset."""
    digest = hashlib.sha256(scene.identity().encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") < HELDOUT_FRACTION * 2**64 else "train"


def _label(scene: Scene) -> int:
    first = scene.objects[0]
    return tuple(COLOURS).index(first.colour) * len(SHAPES) + SHAPES.index(first.shape)


@dataclass(frozen=True)
class ShapesSource:
    """Scenes of one or two objects on a plain background.

    Args:
        image_size: side of the pictures in pixels.
        train: number of training samples.
        heldout: number of held-out samples; they share no scene identity with training.
        seed: decides every scene and caption.
        two_objects: probability that a scene has two objects.
        image_format: "png", "jpg" or "webp".
    """

    image_size: int = 64
    train: int = 20000
    heldout: int = 1000
    seed: int = 0
    two_objects: float = 0.5
    image_format: str = "png"

    name = "shapes"
    licence = "CC0-1.0"
    attribution = "ldmlab"

    def __post_init__(self) -> None:
        for key, least in {"image_size": 16, "train": 0, "heldout": 0, "seed": 0}.items():
            if getattr(self, key) < least:
                raise ValueError(f"{key}={getattr(self, key)} is too small; give {least} or more")
        if not 0 <= self.two_objects <= 1:
            raise ValueError(f"two_objects={self.two_objects} is not a probability; give a number from 0 to 1")

    def config(self) -> dict[str, Any]:
        """Return everything that decides the samples."""
        return asdict(self) | {"world": WORLD_VERSION}

    def count(self, split: str) -> int:
        """Return the number of samples of a split."""
        check_split(split)
        return self.train if split == "train" else self.heldout

    def sample(self, split: str, index: int) -> Sample:
        """Draw a sample: picture, caption, and `{"scene", "asked", "label"}`.

        The label numbers colour and shape of the (first) object, for class-conditional models.
        """
        check_split(split)
        rng = np.random.default_rng([self.seed, SPLITS.index(split), index])
        scene = random_scene(rng, self.two_objects)
        while split_of(scene) != split:
            scene = random_scene(rng, self.two_objects)
        words, asked = caption(scene, rng)
        image = Image.fromarray(render(scene, self.image_size))
        return Sample(image, words, {"scene": scene.to_json(), "asked": asked, "label": _label(scene)})
