"""`ldmlab sample` writes pictures as they are drawn, draws every prompt as it was written, and goes on after a kill."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from ldmlab.drawing.drawing import Drawing
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pictures.png import read_settings

Command = Callable[..., Any]
NAMES = ["contact_sheet.png", "denoising_strip.png", "prompts.txt"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stand in for the drawing: noise that depends on seed and prompt, and a record of what was drawn at once."""
    calls: list[list[str]] = []

    def sample(model: LatentDiffusion, drawing: Drawing, batch: Any, on_step: Any, negative: Any) -> Tensor:
        calls.append(list(batch["captions"]))
        if len(calls) > LIMIT[0]:
            raise KeyboardInterrupt
        latents = torch.zeros(len(drawing.seeds), *model.latent_shape)
        for step in range(drawing.sampler.steps):
            on_step(step, latents)
        made = [
            torch.Generator().manual_seed(seed + len(prompt))
            for seed, prompt in zip(drawing.seeds, batch["captions"], strict=True)
        ]
        return torch.stack([torch.randint(256, (3, 32, 32), generator=g, dtype=torch.uint8) for g in made])

    monkeypatch.setattr("ldmlab.drawing.prompted.sample", sample)
    monkeypatch.setitem(LIMIT, 0, 10**9)
    return calls


LIMIT = {0: 10**9}


def files(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in (".png", ".txt")}


def test_a_killed_run_goes_on_to_the_same_files(
    dit: Path, ldmlab: Command, quick: list[list[str]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ("sample", "a red star", "ein grüner Stern", f"ckpt={dit / 'model.safetensors'}", "sampler.steps=2")
    whole = ldmlab(*words, "n=70", f"output_dir={tmp_path / 'whole'}")
    assert whole.code == 0, whole.err
    assert [len(call) for call in quick] == [8] * 8 + [6]
    assert "contact_sheet.png (the first 64 of 70 pictures)" in whole.out
    assert Image.open(tmp_path / "whole/contact_sheet.png").height < 16 * (128 + 50) + 50
    out = f"output_dir={tmp_path / 'parts'}"
    quick.clear()
    monkeypatch.setitem(LIMIT, 0, 3)
    assert ldmlab(*words, "n=70", out).code == 130
    assert sorted(files(tmp_path / "parts")) == [*(f"{i:05d}.png" for i in range(24)), *NAMES[1:]]
    (tmp_path / "parts/00005.png").unlink()
    quick.clear()
    monkeypatch.setitem(LIMIT, 0, 10**9)
    done = ldmlab(*words, "n=70", out)
    assert done.code == 0, done.err
    assert "23 of 70 pictures are there already" in done.out
    assert sum(map(len, quick)) == 47
    assert files(tmp_path / "parts") == files(tmp_path / "whole")


def test_more_pictures_may_follow_and_others_not(
    dit: Path, ldmlab: Command, quick: list[list[str]], tmp_path: Path
) -> None:
    words = ("sample", "a red star", f"ckpt={dit / 'model.safetensors'}", "sampler.steps=2", f"output_dir={tmp_path}")
    for n in (8, 20):
        assert ldmlab(*words, f"n={n}").code == 0
    assert sum(map(len, quick)) == 20
    before = files(tmp_path)
    assert "holds 00008.png, and this run draws 8 pictures" in ldmlab(*words, "n=8").refusal()
    assert "it had seed=0, this one has seed=1" in ldmlab(*words, "n=20", "seed=1").refusal()
    assert files(tmp_path) == before
    assert sum(map(len, quick)) == 20


def test_pictures_say_how_they_were_drawn(dit: Path, ldmlab: Command, quick: list[list[str]], tmp_path: Path) -> None:
    words = ("a red star, ein „Stern“ ✨", f"ckpt={dit / 'model.safetensors'}", "n=2", "seed=7", "sampler.steps=2")
    done = ldmlab("sample", *words, "negative_prompt=blau", f"output_dir={tmp_path}")
    assert done.code == 0, done.err
    for name in ("00001.png", "contact_sheet.png"):
        told = read_settings(tmp_path / name)
        assert told is not None
        assert (told["seed"], told["model"], told["negative_prompt"]) == (7, "model.safetensors", "blau")
        assert (told["sampler"]["steps"], told["guidance"]["scale"]) == (2, 4.0)
        assert len(told["model_sha256"]) == 64
        assert str(dit) not in str(told)
    assert Image.open(tmp_path / "00001.png").info["Description"] == "a red star, ein „Stern“ ✨"


def test_every_prompt_of_a_file_is_drawn(dit: Path, ldmlab: Command, quick: list[list[str]], tmp_path: Path) -> None:
    lines = [f"a red star {number}\u2028\x85" for number in range(20)]
    (tmp_path / "list.txt").write_bytes(("\ufeff" + "\r\n".join(lines)).encode())
    words = ("sample", f"ckpt={dit / 'model.safetensors'}", "sampler.steps=2")
    done = ldmlab(*words, f"prompts={tmp_path / 'list.txt'}", f"output_dir={tmp_path / 'all'}")
    assert done.code == 0, done.err
    assert [*chain(*quick)] == lines
    quick.clear()
    done = ldmlab(*words, f"prompts={tmp_path / 'all/prompts.txt'}", "n=40", f"output_dir={tmp_path / 'again'}")
    assert done.code == 0, done.err
    assert [*chain(*quick)] == lines * 2
    told = ldmlab(*words, f"prompts={tmp_path / 'list.txt'}", "n=30", f"output_dir={tmp_path / 'odd'}").refusal()
    assert "n=30: there are 20 prompts and each gets as many pictures; give n=40" in told
    assert "give n=2" in ldmlab(*words, "a red star", "a blue star", "n=1", f"output_dir={tmp_path / 'odd'}").refusal()
    assert "holds a line break" in ldmlab(*words, "a red\nstar", f"output_dir={tmp_path / 'odd'}").refusal()
    assert not (tmp_path / "odd").exists()
