"""`ldmlab evaluate` with networks from local files: as the extractor of all metrics, and as a metric's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.models import vision_transformer

from ldmlab.pretrained.weights import sha256_of

from ..tiny_clip import NAME, tiny_clip

Command = Callable[..., Any]
CLIP = f"clip-{NAME}"


def drawn(folder: Path, count: int, darkest: int) -> Path:
    """A folder of pictures with captions."""
    folder.mkdir()
    for number in range(count):
        pixels = np.random.default_rng(number).integers(darkest, 256, (40, 32, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        (folder / f"{number}.txt").write_text(f"{number} red circles")
    return folder


@pytest.fixture
def networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, ...]:
    """Overrides that name small networks with random weights."""
    small = partial(vision_transformer.vit_small_patch14_dinov2, embed_dim=24, num_heads=2, depth=1)
    monkeypatch.setattr(vision_transformer, "vit_small_patch14_dinov2", small)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(timm.create_model("test_vit").state_dict(), tmp_path / "vit.pth")
        torch.save(small().state_dict(), tmp_path / "dinov2.pth")
    _, clip = tiny_clip(tmp_path)
    of_clip = [
        f"metric.{name}.extractor.{key}"
        for name in ("clip_score", "cmmd")
        for key in (f"model={NAME}", f"weights={clip}")
    ]
    dinov2 = ("model=vits14", f"weights={tmp_path / 'dinov2.pth'}")
    return (
        "extractor=timm", "extractor.model=test_vit", f"extractor.weights={tmp_path / 'vit.pth'}",
        *of_clip, *(f"metric.fd_dinov2.extractor.{key}" for key in dinov2),
    )  # fmt: skip


def test_each_figure_says_which_network_it_is_of(networks: tuple[str, ...], ldmlab: Command, tmp_path: Path) -> None:
    pictures, reference = drawn(tmp_path / "made", 4, 0), drawn(tmp_path / "real", 4, 100)
    metrics = "metric=[frechet_distance,inception_score,clip_score,cmmd,fd_dinov2,lpips_lite0]"
    words = (
        f"pictures={pictures}",
        f"reference={reference}",
        "reference_cache=false",
        f"output_dir={tmp_path / 'out'}",
    )
    done = ldmlab("evaluate", *words, metrics, *networks)
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out/metrics.json").read_text())
    names = ["FID-test_vit", "IS-test_vit", f"CLIP_score-{CLIP}", f"CMMD-{CLIP}", "FD-dinov2-vits14", "LPIPS-lite0"]
    assert all(record["metrics"][name] >= 0 for name in names)
    told = record["manifest"]
    assert (told["extractor"], told["extractor_sha256"]) == ("timm-test_vit", sha256_of(tmp_path / "vit.pth"))
    clip = {CLIP: sha256_of(tmp_path / "clip.pt")}
    assert told["networks"]["cmmd"] == told["networks"]["clip_score"] == clip
    assert told["networks"]["fd_dinov2"] == {"dinov2-vits14": sha256_of(tmp_path / "dinov2.pth")}
