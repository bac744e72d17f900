"""The keys of DINO's last layer, of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from timm.models import create_model
from torchvision.transforms import Normalize, Resize

from ldmlab.extractors.places import DinoPlaces
from ldmlab.pretrained.dino import NAME
from ldmlab.pretrained.weights import sha256_of


@pytest.mark.slow
def test_keys_are_those_of_the_last_layer_as_pie_bench_reads_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = create_model(NAME, pretrained=False, num_classes=0).eval()
    torch.save(network.state_dict(), tmp_path / "dino.pth")
    images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        norm = Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        tokens = network.patch_embed(norm(Resize(224, max_size=480, antialias=False)(images.float())))
        hidden = torch.cat([network.cls_token, tokens], dim=1) + network.pos_embed
        for block in network.blocks[:-1]:
            hidden = block(hidden)
        last = network.blocks[-1]
        keys = last.attn.qkv(last.norm1(hidden)).reshape(785, 3, 12, 64)[:, 1].reshape(785, 768)
    extractor = DinoPlaces(tmp_path / "dino.pth")
    assert torch.allclose(extractor.places(images)[0], keys, atol=1e-5)
    assert extractor.weights_sha256 == sha256_of(tmp_path / "dino.pth")


def test_another_network_is_refused(tmp_path: Path) -> None:
    torch.save({"cls_token": torch.zeros(1, 1, 384)}, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"does not fit vit_base_patch8_224.dino at 'cls_token'; give DINO's own file"):
        DinoPlaces(tmp_path / "small.pth")
