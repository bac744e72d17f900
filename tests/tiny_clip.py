"""A CLIP of two blocks with random weights, in a file as open_clip has it, for tests of what reads CLIP's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import torch

NAME = "ldmlab-tiny-towers"
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 64, "head_width": 64, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
}


def tiny_clip(folder: Path) -> tuple[Any, Path]:
    """The network, whose weights are numbers of half precision as in OpenAI's files, and the path of its weights."""
    (folder / f"{NAME}.json").write_text(json.dumps(ARCHITECTURE))
    open_clip.add_model_config(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = open_clip.CLIP(**ARCHITECTURE).eval().requires_grad_(False).half().float()
    torch.save(network.state_dict(), folder / "clip.pt")
    return network, folder / "clip.pt"
