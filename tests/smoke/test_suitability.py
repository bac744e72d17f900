"""What `ldmlab train` takes over from other data is measured on the run's own before anything is trained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ldmlab.data.sample_source import Sample
from ldmlab.data.writing.dataset_writer import write_shards

Command = Callable[..., Any]
Tiny = dict[str, tuple[str, ...]]


class Noise:
    """Pictures and captions that nothing which knows drawn shapes has seen."""

    name = "noise"
    licence = attribution = "none"
    image_format = "png"

    def config(self) -> dict[str, Any]:
        return {}

    def count(self, split: str) -> int:
        return 16 if split == "train" else 4

    def sample(self, split: str, index: int) -> Sample:
        pixels = np.random.default_rng(index).integers(0, 256, (32, 32, 3), dtype=np.uint8)
        return Sample(Image.fromarray(pixels), "photograph depicting weathered architecture, Lisbon", {})


@pytest.fixture(scope="session")
def noise(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of such pictures."""
    root = tmp_path_factory.mktemp("noise")
    write_shards(Noise(), root, shard_size=16, progress=False)
    return root


def test_an_autoencoder_of_other_pictures_is_refused(tiny: Tiny, noise: Path, ldmlab: Command, tmp_path: Path) -> None:
    words = [word for word in tiny["dit"] if word != "min_psnr=0"]
    line = ldmlab("train", *words, f"data.path={noise}", f"output_dir={tmp_path / 'run'}").refusal()
    assert re.search(r"min_psnr=20: the autoencoder of shapes/dit reaches \d+\.\d dB PSNR on 16 of the training", line)
    assert f"ldmlab train model=autoencoder data.path={noise} data.image_size=32" in line
    assert "autoencoder_ckpt=PATH" in line
    assert "min_psnr=0" in line
    assert not (tmp_path / "run").exists()


def test_it_is_told_and_allowed_and_so_are_foreign_words(
    tiny: Tiny, noise: Path, ldmlab: Command, tmp_path: Path
) -> None:
    same = [f"conditioner.{key}" for key in ("length=24", "width=128", "depth=2", "heads=4")]
    words = [*tiny["dit"], *same, "conditioner_ckpt=shapes/dit", f"data.path={noise}", "trainer.max_steps=3"]
    done = ldmlab("train", *words, f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    assert "dB PSNR on 16 of the training pictures at 32 px, latents of standard deviation" in done.err
    assert "conditioner_ckpt=shapes/dit: its tokenizer makes" in done.err
