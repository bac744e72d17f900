"""A folder in PIE-Bench's layout: drawn scenes whose object is to have another colour, each with its true mask."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ldmlab.worlds.shapes.render import render
from ldmlab.worlds.shapes.scene import COLOURS, Scene, random_scene


def runs_of(mask: np.ndarray) -> list[int]:
    """Start and length of each run of True, pixel by pixel in rows."""
    flat = np.concatenate([[0], mask.ravel().astype(np.int8), [0]])
    edges = np.flatnonzero(np.diff(flat)).tolist()
    return [number for start, end in zip(edges[::2], edges[1::2], strict=True) for number in (start, end - start)]


def recoloured(scene: Scene) -> Scene:
    """The scene with its object in the next colour."""
    colours = [*COLOURS]
    own = scene.objects[0]
    new = colours[(colours.index(own.colour) + 1) % len(colours)]
    return replace(scene, objects=(replace(own, colour=new),))


def entry_of(scene: Scene, category: str, picture: str, size: int) -> dict[str, Any]:
    """What the mapping file says of an edit."""
    edited = recoloured(scene)
    old, new = scene.objects[0], edited.objects[0]
    mask = (render(scene, size) != render(edited, size)).any(axis=2)
    return {
        "image_path": picture,
        "original_prompt": f"a [{old.colour}] {old.shape}",
        "editing_prompt": f"a [{new.colour}] {new.shape}",
        "editing_instruction": f"make the {old.shape} {new.colour}",
        "editing_type_id": category,
        "blended_word": f"{old.colour} {new.colour}",
        "mask": runs_of(mask),
    }


def write_pie_folder(folder: Path, categories: Sequence[str], size: int = 32) -> Path:
    """Write a folder with an edit for each of these categories."""
    rng = np.random.default_rng(0)
    entries = {}
    for number, category in enumerate(categories):
        scene = random_scene(rng, two_objects=0.0)
        picture = f"{category}_kind/{number:012d}.png"
        path = folder / "annotation_images" / picture
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(render(scene, size)).save(path)
        entries[f"{number:012d}"] = entry_of(scene, category, picture, size)
    (folder / "mapping_file.json").write_text(json.dumps(entries))
    return folder


def change_entry(folder: Path, key: str, **changes: Any) -> None:
    """Let the mapping file say something else of an edit; None takes a field away."""
    path = folder / "mapping_file.json"
    entries = json.loads(path.read_text())
    entries[key] = {name: value for name, value in {**entries[key], **changes}.items() if value is not None}
    path.write_text(json.dumps(entries))
