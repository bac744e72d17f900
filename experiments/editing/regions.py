"""Draws missing parts of held-out scenes with a text-to-image model, beside naive answers, and reads the results.

    python experiments/editing/regions.py --ckpt shapes/dit --n 80 --resample 1 5 --out regions.png

Two tasks: a box around one object is cut out, or all but the middle columns is. A verifier then reads what the caption
says from the whole picture. Known pixels are compared and must be equal.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.editing.regions.composite import composite
from ldmlab.editing.regions.fill import harmonic_fill, mean_fill
from ldmlab.editing.regions.redraw import Redraw, redraw
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.contact_sheet import contact_sheet
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.worlds.shapes.dataset import ShapesSource
from ldmlab.worlds.shapes.scene import SIZES
from ldmlab.worlds.shapes.verifier import look, verify

BOX = 1.35
"""Half a box's side over the object's nominal radius."""
KEPT = 40
"""Columns that uncropping starts from, in the middle."""
SHOWN = 8


@dataclass(frozen=True)
class Scenes:
    """Held-out pictures (N, 3, fH, fW), what is missing of them, and what their captions say."""

    pictures: Tensor
    missing: Tensor
    captions: Sequence[str]
    asked: Sequence[dict[str, Any]]


def held_out(n: int, task: str) -> Scenes:
    """The first n."""
    samples = [ShapesSource().sample("heldout", index) for index in range(n)]
    pictures = torch.stack([torch.from_numpy(np.array(each.image)).permute(2, 0, 1) for each in samples])
    missing = torch.zeros(n, *pictures.shape[-2:], dtype=torch.bool)
    side = pictures.shape[-1]
    for mask, sample in zip(missing, samples, strict=True):
        if task == "uncrop":
            edge = (side - KEPT) // 2
            mask[:, :edge] = mask[:, -edge:] = True
        else:
            item = sample.meta["scene"]["objects"][0]
            reach = BOX * SIZES[item["size"]]
            top, bottom, left, right = (
                int(np.clip(round(at * side), 0, side))
                for at in (item["y"] - reach, item["y"] + reach, item["x"] - reach, item["x"] + reach)
            )
            mask[top:bottom, left:right] = True
    return Scenes(pictures, missing, [each.caption for each in samples], [each.meta["asked"] for each in samples])


def answers(
    model: LatentDiffusion, scenes: Scenes, steps: int, resamples: Sequence[int]
) -> Iterator[tuple[str, Tensor]]:
    """What each way makes of them."""
    pairs = list(zip(scenes.pictures, scenes.missing, strict=True))
    surface = torch.stack([harmonic_fill(picture, mask) for picture, mask in pairs])
    yield "mean colour", torch.stack([mean_fill(picture, mask) for picture, mask in pairs])
    yield "smooth surface", surface
    batch = {"captions": list(scenes.captions)}
    drawing = Drawing(DDIM(steps), ClassifierFree(2.0), picture_seeds(0, len(pairs)))
    for resample in resamples:
        settings = Redraw(resample, jump=5)
        drawn = redraw(model, drawing, surface, scenes.missing, batch, settings)
        filled = composite(drawn, scenes.pictures, scenes.missing)
        known = ~scenes.missing[:, None].expand_as(filled)
        assert torch.equal(filled[known], scenes.pictures[known])
        yield f"blending, resample={resample}", filled


def row(pictures: Tensor, scenes: Scenes) -> str:
    """Percent of the captions that ask for it, and the distance to the truth where something was missing."""
    read = [
        verify(look(image.permute(1, 2, 0).numpy()), each) for image, each in zip(pictures, scenes.asked, strict=True)
    ]
    kinds = [[found[kind] for found in read if kind in found] for kind in ("shape", "colour", "size", "relation")]
    shares = [np.mean([all(found.values()) for found in read]), *map(np.mean, kinds)]
    away = (pictures.double() - scenes.pictures.double()).square().mean(dim=1)[scenes.missing].mean()
    psnr = 10 * np.log10(255**2 / float(away))
    return " | ".join([*(f"{100 * share:.1f}" for share in shares), f"{psnr:.1f}"])


def main() -> None:
    """Print a table for each task, and draw the first scenes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ckpt", default="shapes/dit")
    parser.add_argument("--n", type=int, default=80)
    parser.add_argument("--steps", type=int, default=25)
    parser.add_argument("--resample", type=int, nargs="+", default=[1, 5])
    parser.add_argument("--out", type=Path, default=Path("regions.png"))
    given = parser.parse_args()
    model = load_latent_diffusion(given.ckpt).model
    assert isinstance(model, LatentDiffusion)
    shown: list[Tensor] = []
    titles: list[str] = []
    for task in ("inpaint", "uncrop"):
        scenes = held_out(given.n, task)
        print(f"| {task} | whole caption | shape | colour | size | relation | PSNR of the missing part |")
        print("| --- | --- | --- | --- | --- | --- | --- |")
        for name, pictures in answers(model, scenes, given.steps, given.resample):
            print(f"| {name} | {row(pictures, scenes)} |", flush=True)
            shown.append(pictures[:SHOWN])
            titles += [f"{task}, {name}: {caption}" for caption in scenes.captions[:SHOWN]]
    contact_sheet(torch.cat(shown), titles, columns=SHOWN).save(given.out)


if __name__ == "__main__":
    main()
