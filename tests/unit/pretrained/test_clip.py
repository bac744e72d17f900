"""CLIP's towers from a local file, against open_clip's own preparation of pictures and torch-fidelity's network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ldmlab.pretrained.clip import CLIP

from ...tiny_clip import NAME, tiny_clip

PROMPTS = ["a small red circle", "a green star, upside down"]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    return tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def network(original: tuple[Any, Path]) -> CLIP:
    before = torch.get_rng_state()
    network = CLIP(NAME, original[1])
    assert torch.equal(torch.get_rng_state(), before)
    return network


@pytest.fixture(scope="module")
def images() -> Tensor:
    noise = torch.randint(0, 256, (2, 3, 400, 280), generator=torch.Generator().manual_seed(0))
    return avg_pool2d(noise.float(), 8, 4).to(torch.uint8)


def test_pictures_are_prepared_as_open_clip_does(network: CLIP, original: tuple[Any, Path], images: Tensor) -> None:
    prepare = open_clip.image_transform(32, is_train=False)
    prepared = torch.stack([prepare(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in images])
    torch.testing.assert_close(network.features(images), original[0].encode_image(prepared), rtol=2e-2, atol=2e-2)


def test_the_tower_is_torch_fidelitys(network: CLIP, original: tuple[Any, Path], images: Tensor) -> None:
    pytest.importorskip("torch_fidelity", exc_type=ImportError)
    from torch_fidelity.feature_extractor_clip import build_model

    square = images[:, :, :32, :32]
    mean, std = torch.tensor([[0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]])[
        ..., None, None
    ]
    wanted = build_model(dict(original[0].state_dict()), torch.float32).visual((square / 255 - mean) / std)
    torch.testing.assert_close(network(square), wanted, rtol=1e-4, atol=1e-5)


def test_texts_are_open_clips_and_long_ones_are_cut(network: CLIP, original: tuple[Any, Path]) -> None:
    wanted = original[0].encode_text(open_clip.get_tokenizer(NAME)(PROMPTS))
    torch.testing.assert_close(network.text_features(PROMPTS), wanted)
    cut = network.text_features(["a " * 14, "a " * 100])
    assert torch.equal(cut[0], cut[1])


def test_is_frozen_and_stays_in_evaluation_mode(network: CLIP) -> None:
    torch.nn.Sequential(network).train()
    assert not any(module.training for module in network.modules())
    assert not any(weight.requires_grad for weight in network.parameters())


def test_weights_of_half_precision_in_other_files(network: CLIP, original: tuple[Any, Path], tmp_path: Path) -> None:
    state = {name: tensor.half().contiguous() for name, tensor in original[0].state_dict().items()}
    save_file(state, tmp_path / "clip.safetensors")
    openai = {**state, "input_resolution": torch.tensor(32), "context_length": torch.tensor(16)}
    torch.save({"state_dict": {f"module.{name}": tensor for name, tensor in openai.items()}}, tmp_path / "clip.pt")
    for path in tmp_path.iterdir():
        assert torch.equal(CLIP(NAME, path).text_features(PROMPTS), network.text_features(PROMPTS))


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("vit", "model=vit: open_clip lacks it"),
        ("ViT-B-16-SigLIP", "its text tower is not CLIP's"),
        ("roberta-ViT-B-32", "its text tower is not CLIP's"),
        ("coca_ViT-B-32", "its text tower is not CLIP's"),
        ("ViT-B-32", "weights is null; give the path of open_clip's weights of ViT-B-32"),
    ],
)
def test_other_models_and_no_path_are_one_clear_line(model: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CLIP(model, None)


def test_a_file_of_other_weights_is_one_clear_line(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=rf"other\.pt' is not one of {NAME}"):
        CLIP(NAME, tmp_path / "other.pt")
