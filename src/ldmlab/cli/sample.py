"""`ldmlab sample`: pictures from prompts."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from omegaconf import DictConfig, ListConfig
from torch import Tensor

from ldmlab.cli.build import build_guidance, build_sampler, load_latent_diffusion, pick_device
from ldmlab.cli.progress import progress
from ldmlab.cli.trained_on import require_shapes
from ldmlab.data.atomic import atomic_file
from ldmlab.pictures.contact_sheet import contact_sheet, to_pil
from ldmlab.pictures.png import write_png
from ldmlab.pipeline import LatentDiffusion
from ldmlab.samplers.noise import picture_seeds

STRIP_PICTURES = 8
DEFAULT_PROMPTS = (
    "a small red circle left of a big blue square",
    "a green star",
    "a big yellow triangle above a small purple circle",
    "a small orange square at the top on a black background",
)


def run(cfg: DictConfig) -> None:
    """Draw `n` pictures, dealt to the prompts in turn, and write them, a contact sheet and a denoising strip."""
    prompts = _prompts(cfg.prompts)
    captions = [prompts[index % len(prompts)] for index in range(cfg.n)]
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema)
    model = loaded.model
    assert isinstance(model, LatentDiffusion)
    if model.conditioner.concat_channels:
        raise ValueError(
            f"ckpt={cfg.ckpt}: this model draws from a picture; give it one: "
            "ldmlab edit method=image_to_image image=PATH"
        )
    if cfg.prompts is None:
        require_shapes(cfg.ckpt, loaded)
    model.conditioner(model.conditioner.batch(prompts))  # refuses a prompt before anything is written
    model.to(pick_device(cfg.device))
    strip: list[Tensor] = []
    images = _draw(cfg, model, captions, strip)
    _write(Path(cfg.output_dir), images, captions, strip)


def _prompts(prompts: str | ListConfig | None) -> list[str]:
    if prompts is None:
        return list(DEFAULT_PROMPTS)
    if isinstance(prompts, ListConfig):
        return [str(prompt) for prompt in prompts]
    path = Path(prompts)
    if not path.is_file():
        raise ValueError(
            f"prompts={prompts}: no such file; give a text file with a prompt a line, or words without '='"
        )
    lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not lines:
        raise ValueError(f"prompts={prompts}: the file holds no prompt; write one a line")
    return lines


def _draw(cfg: DictConfig, model: LatentDiffusion, captions: list[str], strip: list[Tensor]) -> Tensor:
    sampler = build_sampler(cfg.sampler, model)
    chunks = math.ceil(cfg.n / model.rows(cfg.batch_size))
    with progress("sampling", chunks * sampler.steps) as advance:
        steps = _strip_steps(sampler.steps)

        def on_step(step: int, latents: Tensor) -> None:
            advance(1)
            if step in steps and len(strip) < len(steps):
                strip.append(model.decode(latents[:1])[0].cpu())

        return model.sample(
            model.conditioner.batch(captions),
            picture_seeds(cfg.seed, cfg.n),
            sampler,
            build_guidance(cfg.guidance, model),
            cfg.batch_size,
            on_step,
            None if cfg.negative_prompt is None else model.conditioner.batch([cfg.negative_prompt] * cfg.n),
        )


def _strip_steps(steps: int) -> set[int]:
    """Steps to show, spread evenly and with the last."""
    count = min(STRIP_PICTURES, steps)
    return {round((index + 1) * steps / count) - 1 for index in range(count)}


def _write(folder: Path, images: Tensor, captions: list[str], strip: list[Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pictures = {f"{index:05d}.png": to_pil(image) for index, image in enumerate(images)}
    pictures["contact_sheet.png"] = contact_sheet(images, captions)
    pictures["denoising_strip.png"] = contact_sheet(torch.stack(strip), columns=len(strip))
    for name, picture in pictures.items():
        write_png(folder / name, picture)
    with atomic_file(folder / "prompts.txt") as file:
        file.write("".join(f"{caption}\n" for caption in captions).encode())
    print(f"contact sheet: {folder / 'contact_sheet.png'}")
    print(f"denoising strip: {folder / 'denoising_strip.png'}")
