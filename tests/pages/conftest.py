"""What stands in for the files that pages name: pictures, shards and public checkpoints, all of them small."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.data.writing.dataset_writer import write_shards
from ldmlab.worlds.shapes.dataset import ShapesSource

from ..numerical.interop import public
from ..numerical.interop.dit_layout import random_state
from .named import Make, Named, captioned_pictures, mask, picture


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """12 training and 8 held-out scenes of 64 px, not to be written to."""
    root = tmp_path_factory.mktemp("scenes")
    write_shards(ShapesSource(image_size=64, train=12, heldout=8), root, shard_size=12, progress=False)
    return root


def _import(write: Make, ldmlab: Callable[..., Any]) -> Make:
    """A model of ours, from a public one."""

    def make(path: Path) -> None:
        source = path.with_suffix(".public")
        write(source)
        done = ldmlab("import", source, f"output={path}")
        assert done.code == 0, done.err

    return make


@pytest.fixture
def named(scenes: Path, ldmlab: Callable[..., Any]) -> Named:
    """What a page may name before it has written it."""

    def stable_diffusion(path: Path) -> None:
        public.write_stable_diffusion(path, public.clip_state())

    def data(path: Path) -> None:
        shutil.copytree(scenes, path)

    return Named(
        {
            "photo.png": picture(64),
            "strokes.png": picture(64),
            "small.png": picture(8),
            "mask.png": mask(64),
            "prompts.txt": lambda path: path.write_text("a red star\n"),
            "laion": data,
            "imagenet": data,
            "data/shapes": data,
            "laion-heldout": lambda path: shutil.copytree(scenes / "heldout", path),
            "stable-diffusion-v1-5": stable_diffusion,
            "sd-vae-ft-ema": lambda path: public.vae().save_pretrained(path),
            "sd-vae-ft-mse": lambda path: public.vae().save_pretrained(path),
            "pictures": captioned_pictures,
            "photos": captioned_pictures,
            "DiT-XL-2-256x256.pt": lambda path: torch.save(random_state(classes=1000), path),
            "sd.safetensors": _import(stable_diffusion, ldmlab),
            "dit.safetensors": _import(public.write_dit, ldmlab),
        }
    )
