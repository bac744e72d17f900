"""Ranks draw the pictures of one, each once, and go on after a kill whatever their number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from ldmlab.drawing.drawing import Drawing
from ldmlab.guidance.none import NoGuidance
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_latent_diffusion
from ldmlab.pictures.series import Series
from ldmlab.ranks import ALONE, Ranks
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.noise import picture_seeds
from ldmlab.studio import samples
from ldmlab.studio.samples import draw_series

COUNT = 19
RECORD = {"seed": 3, "sampler": {"steps": 2}}


@pytest.fixture
def model(dit: Path) -> LatentDiffusion:
    return load_latent_diffusion(str(dit / "model.safetensors")).model


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def draw(model: LatentDiffusion) -> Callable[[Path, Ranks], list[str]]:
    drawing = Drawing(DDPM(steps=2), NoGuidance(), picture_seeds(3, COUNT))

    def draw(folder: Path, ranks: Ranks) -> list[str]:
        told: list[str] = []
        series = Series(folder, COUNT, ["a red star", "a blue ring"], RECORD)
        draw_series(model, drawing, series, compile=False, tell=told.append, ranks=ranks)
        return told

    return draw


def test_bytes_are_those_of_one(
    draw: Callable[[Path, Ranks], list[str]],
    on_ranks: Callable[..., list[Any]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    one, many, drawn = tmp_path / "one", tmp_path / "many", []
    for folder in (one, many):
        folder.mkdir()
    draw(one, ALONE)
    assert len(files(one)) == COUNT + 3

    def counted(*given: Any) -> Any:
        for rows, images in draw_prompts(*given):
            drawn.extend(rows)
            yield rows, images

    def begin(ranks: Ranks) -> tuple[list[str], Sequence[int]]:
        return draw(many, ranks), drawn

    draw_prompts = samples.draw_prompts
    monkeypatch.setattr(samples, "draw_prompts", counted)
    first = on_ranks(2, begin)
    assert sorted(first[0][1] + first[1][1]) == list(range(COUNT))
    assert files(many) == files(one)
    for number in (0, 7, 8, 18):
        (many / f"{number:05d}.png").unlink()
    (many / "denoising_strip.png").unlink()
    again = on_ranks(3, begin)
    assert "15 of 19 pictures are there already" in again[0][0]
    assert [rows for _, rows in again] == [[0, 18], [7], [8]]
    assert files(many) == files(one)
    assert torch.is_grad_enabled()
