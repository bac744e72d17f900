"""Pictures carry their settings, and keep their pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldmlab.pictures.png import read_settings, write_png

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st


@pytest.fixture
def image() -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8))


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(TEXT, st.integers(), st.none() | TEXT)
@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=50)
def test_settings_of_any_script_come_back(tmp_path: Path, prompt: str, seed: int, negative: str | None) -> None:
    settings = {"prompt": prompt, "seed": seed, "negative_prompt": negative, "guidance": {"scale": 4.0}}
    write_png(tmp_path / "a.png", Image.new("RGB", (2, 2)), settings)
    assert read_settings(tmp_path / "a.png") == settings


def test_pixels_stay_and_other_programs_read_the_prompt(tmp_path: Path, image: Image.Image) -> None:
    write_png(tmp_path / "a.png", image, {"prompt": "ein grüner Stern 🟢"})
    with Image.open(tmp_path / "a.png") as found:
        assert np.array_equal(np.asarray(found), np.asarray(image))
        assert found.info["Description"] == "ein grüner Stern 🟢"
        assert found.info["Software"].startswith("ldmlab ")


def test_other_files_and_damaged_ones_carry_none(tmp_path: Path, image: Image.Image) -> None:
    path = tmp_path / "a.png"
    assert read_settings(path) is None
    image.save(path)
    assert read_settings(path) is None
    write_png(path, image)
    assert read_settings(path) is None
    write_png(path, image, {"seed": 1})
    whole = path.read_bytes()
    for damaged in (whole[:-40], whole[: len(whole) // 2] + b"\0" * 8 + whole[len(whole) // 2 + 8 :], b"no picture"):
        path.write_bytes(damaged)
        assert read_settings(path) is None
