"""DINOv2 of two blocks with random weights, against the same in float64, by hand."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from timm.models import vision_transformer
from torch import Tensor, nn

from ldmlab.pretrained import dinov2
from ldmlab.pretrained.dinov2 import DINOv2
from ldmlab.pretrained.pixels import squashed

WIDTH, HEADS, DEPTH = 24, 2, 2
SMALL = {"embed_dim": WIDTH, "num_heads": HEADS, "depth": DEPTH}


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """timm's models with the blocks of DINOv2, but few and narrow."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("vit_small_patch14_dinov2", "vit_giant_patch14_dinov2"):
            patch.setattr(vision_transformer, name, partial(getattr(vision_transformer, name), **SMALL))
        yield


def random_state(model: str) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network: nn.Module = getattr(vision_transformer, dinov2.MODELS[model])()
        return {name: torch.randn_like(tensor) / 5 for name, tensor in network.state_dict().items()}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return random_state("vits14")


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.randint(0, 256, (2, 3, 40, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def loaded(state: dict[str, Tensor], folder: Path, model: str = "vits14") -> DINOv2:
    torch.save(state, folder / "dinov2.pth")
    return DINOv2(model, folder / "dinov2.pth")


def cubic(x: float) -> float:
    """Keys' kernel with a = -0.75, as PyTorch has it."""
    x = abs(x)
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def test_positions_are_scaled_as_the_original_does(state: dict[str, Tensor], tmp_path: Path) -> None:
    found = loaded(state, tmp_path).network.pos_embed[0].double().numpy()
    spread = np.zeros((16, 37))
    for place in range(16):
        where = (place + 0.5) * 37 / 16.1 - 0.5
        for near in range(int(np.floor(where)) - 1, int(np.floor(where)) + 3):
            spread[place, np.clip(near, 0, 36)] += cubic(where - near)
    grid = state["pos_embed"][0, 1:].double().numpy().reshape(37, 37, WIDTH)
    wanted = np.einsum("ia,jb,abc->ijc", spread, spread, grid).reshape(-1, WIDTH)
    np.testing.assert_allclose(found[1:], wanted, atol=1e-5)
    np.testing.assert_allclose(found[0], state["pos_embed"][0, 0].numpy(), atol=1e-7)


def by_hand(weights: dict[str, Tensor], pixels: Tensor) -> Tensor:
    """The class token of a Transformer of pre-norm blocks with scaled branches, in float64."""
    w = {name: tensor.double() for name, tensor in weights.items()}

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(dim=-1, keepdim=True)
        scaled = centred / (centred.square().mean(dim=-1, keepdim=True) + 1e-6).sqrt()
        return scaled * w[f"{name}.weight"] + w[f"{name}.bias"]

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    patches = pixels.double().unfold(2, 14, 14).unfold(3, 14, 14).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    tokens = patches @ w["patch_embed.proj.weight"].flatten(1).T + w["patch_embed.proj.bias"]
    x = torch.cat([w["cls_token"].expand(len(pixels), -1, -1), tokens], dim=1) + w["pos_embed"]
    for block in (f"blocks.{number}" for number in range(DEPTH)):
        q, k, v = (
            linear(norm(x, f"{block}.norm1"), f"{block}.attn.qkv").unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        )
        mixed = (q @ k.mT / (WIDTH // HEADS) ** 0.5).softmax(dim=-1) @ v
        x = x + w[f"{block}.ls1.gamma"] * linear(mixed.transpose(1, 2).flatten(2), f"{block}.attn.proj")
        hidden = linear(norm(x, f"{block}.norm2"), f"{block}.mlp.fc1")
        hidden = hidden * (1 + torch.erf(hidden / 2**0.5)) / 2
        x = x + w[f"{block}.ls2.gamma"] * linear(hidden, f"{block}.mlp.fc2")
    return norm(x, "norm")[:, 0]


def test_features_are_the_class_token(state: dict[str, Tensor], images: Tensor, tmp_path: Path) -> None:
    network = loaded(state, tmp_path)
    pixels = squashed(images, 224).double() / 255
    mean, std = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)[..., None, None]
    wanted = by_hand(dict(network.network.state_dict()), (pixels - mean) / std)
    torch.testing.assert_close(network(images).double(), wanted, rtol=1e-4, atol=1e-5)


def test_facebooks_files_are_timms_with_other_names(images: Tensor, tmp_path: Path) -> None:
    state = random_state("vitg14")
    wanted = loaded(state, tmp_path, "vitg14")(images)
    facebooks = {name.replace("mlp.fc1", "mlp.w12").replace("mlp.fc2", "mlp.w3"): each for name, each in state.items()}
    mask = {"mask_token": torch.zeros(1, WIDTH)}
    assert torch.equal(loaded({**mask, **facebooks}, tmp_path, "vitg14")(images), wanted)


def test_is_frozen_draws_nothing_and_sees_whole_pictures(
    state: dict[str, Tensor], images: Tensor, tmp_path: Path
) -> None:
    before = torch.get_rng_state()
    network = loaded(state, tmp_path)
    assert torch.equal(torch.get_rng_state(), before)
    torch.nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())
    changed = images.clone()
    changed[:, :, :, :4] = 0  # a border that a cut would leave out
    assert not torch.allclose(network(images), network(changed))


def test_bad_input_is_one_clear_line(state: dict[str, Tensor], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="model=vitx: choose one of vits14, vitb14, vitl14, vitg14"):
        DINOv2("vitx", None)
    with pytest.raises(ValueError, match=r"weights is null; give the path of dinov2_vitl14_pretrain\.pth"):
        DINOv2("vitl14", None)
    torch.save(state, tmp_path / "small.pth")
    with pytest.raises(ValueError, match=r"small\.pth' is not one of DINOv2's vitg14"):
        DINOv2("vitg14", tmp_path / "small.pth")
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"other\.pth' is not one of DINOv2's vits14"):
        DINOv2("vits14", tmp_path / "other.pth")
