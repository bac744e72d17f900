"""DINO's ViT-B/8 (Caron et al. 2021), from a local file: the keys of its last layer, which describe structure.

The network is timm's `vit_base_patch8_224.dino`, whose state dict has the names of DINO's own file.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn.functional import interpolate

from ldmlab.pretrained.weights import load_tensors, sha256_of

if TYPE_CHECKING:
    from timm.models.vision_transformer import VisionTransformer

NAME = "vit_base_patch8_224.dino"
INPUT_SIZE = 224
WIDTH = 768
_REMEDY = "give DINO's own file dino_vitbase8_pretrain.pth, or timm's weights of " + NAME


class DinoKeys(nn.Module):
    """The frozen network up to the keys of its last layer.

    Args:
        weights: the file.

    Raises:
        ValueError: it is absent, or holds another network.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, weights: Path | str) -> None:
        super().__init__()
        path = Path(weights)
        if not path.is_file():
            raise ValueError(f"weights={path}: no such file; {_REMEDY}")
        self.network = _load(path)
        self.network.requires_grad_(False).eval()
        self.weights_sha256 = sha256_of(path)
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("deviation", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)
        self._keys = torch.empty(0)
        self.network.get_submodule("blocks.11.attn.qkv").register_forward_hook(self._keep)

    def forward(self, images: UInt8[Tensor, "B 3 H W"]) -> Float[Tensor, "B 785 768"]:
        """The keys of the class token and of 28 x 28 patches, all heads side by side.

        Pictures are made 224 x 224 by bilinear interpolation without antialiasing, and their pixels are left in 0..255
        before the ImageNet mean is taken off: so does PIE-Bench, whose published distances depend on it.
        """
        pixels = interpolate(images.float(), (INPUT_SIZE, INPUT_SIZE), mode="bilinear", align_corners=False)
        self.network.forward_features((pixels - self.mean) / self.deviation)
        keys, self._keys = self._keys, torch.empty(0)
        return keys

    def _keep(self, layer: nn.Module, inputs: object, output: Float[Tensor, "B 785 2304"]) -> None:
        self._keys = output[..., WIDTH : 2 * WIDTH]


def _load(path: Path) -> VisionTransformer:
    from timm.models import create_model

    given = load_tensors(path)
    with torch.device("meta"):  # no random weights: building draws nothing from the global generator
        network = cast("VisionTransformer", create_model(NAME, pretrained=False, num_classes=0))
    wanted = network.state_dict()
    unfit = [name for name, value in wanted.items() if name not in given or given[name].shape != value.shape]
    if unfit:
        raise ValueError(f"weights={path}: does not fit {NAME} at '{unfit[0]}'; {_REMEDY}")
    network.load_state_dict({name: given[name].float() for name in wanted}, assign=True)
    return network
