"""`ldmlab edit`: change a part of a picture, drawn or given, and keep the rest of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.cli.command import Command
from ldmlab.configs.commands.edit import CHECKS

if TYPE_CHECKING:
    from omegaconf import DictConfig


def run(cfg: DictConfig) -> None:
    """Edit for `n` seeds, and write the pictures and a contact sheet with one row an edit."""
    from ldmlab.configs.build import build_drawing, build_method, method_settings, resolved
    from ldmlab.drawing.computing import peak_memory, ready_to_draw
    from ldmlab.drawing.records import drawing_record, portable
    from ldmlab.models.loading import load_latent_diffusion
    from ldmlab.pictures.reading import read_mask, read_picture, require_same_size
    from ldmlab.precision import pick_precision
    from ldmlab.samplers.noise import picture_seeds
    from ldmlab.studio.edits import EditRecord, edit_task, write_edits

    method = build_method(cfg)
    method.check({key for key in ("source", "target", "image", "mask") if cfg[key] is not None})
    image = None if cfg.image is None else read_picture(cfg.image)
    mask = None if cfg.mask is None else read_mask(cfg.mask)
    if image is not None and mask is not None:
        require_same_size(image, mask, f"mask={cfg.mask}")
    precision = pick_precision(cfg.precision, cfg.device)
    loaded = load_latent_diffusion(cfg.ckpt, cfg.ema, cfg.adapter_ckpt, cfg.adapter_scale)
    model = loaded.model.to(precision.device)
    drawing = build_drawing(cfg, model, picture_seeds(cfg.seed, cfg.n), precision)
    task = edit_task(model, ready_to_draw(model, drawing, cfg.compile), method, cfg.source, cfg.target, image, mask)
    drawn = drawing_record(loaded, precision, cfg.seed, resolved(cfg.sampler), resolved(cfg.guidance))
    names = (portable(cfg.image), portable(cfg.mask))
    write_edits(
        Path(cfg.output_dir), method, task, EditRecord(drawn, method_settings(cfg), cfg.source, cfg.target, *names)
    )
    print(f"peak memory: {peak_memory(precision.device)}")


COMMAND = Command(
    **vars(CHECKS),
    summary="change a part of a picture, drawn or given, and keep the rest of it",
    synopsis='ldmlab edit [method=NAME] [image=FILE] [source="PROMPT"] [target="PROMPT"] [KEY=VALUE ...]',
    description=(
        "Prompt-to-prompt: both prompts are drawn side by side from the same noise, and the attention maps of the "
        "first steer the second. What differs between the prompts is found by aligning their words: swapped, "
        "inserted and deleted words, of any number on either side; reweight strengthens and weakens words.",
        "Works with every sampler, on every backbone that attends to words. method=fixed_seed draws the target "
        "prompt from the same noise without control, to compare with.",
        "image=FILE edits a picture of yours: prompt-to-prompt inverts it first (inversion=), and says how well; "
        "method=inpaint and mask_blend draw what mask=FILE marks white and keep all other pixels to the last bit; "
        "uncrop draws around it; sdedit keeps its layout; image_to_image is for models that were trained to read a "
        "picture.",
    ),
    examples=(
        ('ldmlab edit source="a red circle" target="a blue circle"', "four seeds, before and after"),
        ('ldmlab edit source="a red star" target="a blue star" method.tau_grid=[0,0.25,0.5,0.75,1]', "one row a tau"),
        ("ldmlab edit source='a red star above a blue circle' method.reweight='{star: 2}'", "a stronger word"),
        ('ldmlab edit source="a red circle" target="a blue circle" method.blend=[]', "only where the words differ"),
        ('ldmlab edit image=photo.png source="a red circle" target="a red star"', "a picture of yours"),
        ('ldmlab edit method=inpaint image=photo.png mask=mask.png target="a star"', "a part of it"),
    ),
    run=run,
)
