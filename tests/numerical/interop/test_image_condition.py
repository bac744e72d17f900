"""Inpainting and super-resolution UNets find the conditioner of their picture, and inpainting agrees with diffusers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from ldmlab.conditioners.inpainting import LAYOUTS, Inpainting
from ldmlab.conditioners.pixels import signed
from ldmlab.interop.image_condition import around_text
from ldmlab.models.loading import load_latent_diffusion

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)

TEXT = {"_target_": "ldmlab.conditioners.clip.CLIPText", "width": 32}
NONE = {"_target_": "ldmlab.conditioners.none.NoCondition"}


@pytest.mark.parametrize(
    ("reader", "channels", "latents", "wanted"),
    [
        (NONE, 4, 3, ("inpainting.Inpainting", {"layout": "ldm"})),
        (TEXT, 5, 4, ("inpainting.Inpainting", {"layout": "sd"})),
        (NONE, 3, 3, ("super_resolution.SuperResolution", {"factor": 4})),
    ],
)
def test_channels_tell_the_picture(reader: Any, channels: int, latents: int, wanted: tuple[str, Any]) -> None:
    made = around_text(reader, {"a": torch.ones(1)}, channels, latents, 4)
    assert made is not None
    assert made[0] == {"_target_": f"ldmlab.conditioners.{wanted[0]}", **wanted[1], "text": reader}
    assert [*made[1]] == ["text.a"]
    assert around_text(reader, {}, 0, latents, 4) is None
    assert around_text(reader, {}, 17, latents, 4) is None


@pytest.fixture(scope="module")
def folder(stable_diffusion: Path, unet: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As that of Stable Diffusion's inpainting."""
    made = tmp_path_factory.mktemp("public") / "tiny-inpainting"
    made.mkdir()
    for part in stable_diffusion.iterdir():
        if part.name != "unet":
            (made / part.name).symlink_to(part)
    torch.manual_seed(0)
    network = diffusers.UNet2DConditionModel(**{**unet.config, "in_channels": 9})
    network.save_pretrained(made / "unet")
    return made


@torch.no_grad()
def test_stable_diffusions_inpainting_there_and_back(
    folder: Path, vae: Any, ldmlab: Callable[..., Any], relative_error: Callable[..., float], tmp_path: Path
) -> None:
    """Prepared as diffusers' pipeline does: pixels times (mask < 0.5), encoded; the mask at the nearest pixels."""
    ours, back = tmp_path / "ours.safetensors", tmp_path / "back"
    done = ldmlab("import", folder, f"output={ours}")
    assert done.code == 0, done.err
    assert "reads 5 further channels, which the conditioner gives" in done.out
    conditioner = load_latent_diffusion(str(ours)).model.conditioner  # type: ignore[union-attr]
    assert isinstance(conditioner, Inpainting)
    assert conditioner.layout == LAYOUTS["sd"]
    generator = torch.Generator().manual_seed(0)
    images = signed(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=generator))
    masks = torch.zeros(2, 32, 32, dtype=torch.bool)
    masks[0, 5:20, 8:30] = masks[1, :, 17:] = True
    concat = conditioner({"images": images, "masks": masks, "captions": ["a cat", ""]}).concat
    hidden = images * (masks[:, None] < 0.5)
    latents = vae.encode(hidden).latent_dist.mode() * vae.config.scaling_factor
    cells = torch.nn.functional.interpolate(masks[:, None].float(), size=latents.shape[2:])
    theirs: Tensor = torch.cat([cells, latents], dim=1)
    assert relative_error(concat, theirs) < 1e-4
    done = ldmlab("export", f"ckpt={ours}", f"output={back}")
    assert done.code == 0, done.err
    assert "StableDiffusionInpaintPipeline" in (back / "model_index.json").read_text()
    for part, name in (("unet", "diffusion_pytorch_model"), ("text_encoder", "model")):
        one, other = (load_file(root / part / f"{name}.safetensors") for root in (folder, back))
        assert [key for key, tensor in other.items() if not torch.equal(tensor, one[key])] == []
