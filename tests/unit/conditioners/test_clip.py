"""Frozen CLIP text: open_clip's own numbers from a small random model, and nothing downloaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from ldmlab.conditioners.clip import CLIPText, FrozenCLIP
from ldmlab.counting.description import describe
from ldmlab.types import Conditioning

NAME = "ldmlab-tiny"
ARCHITECTURE: dict[str, Any] = {
    "embed_dim": 12,
    "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}
PROMPTS = ["a small red circle", "a green star, upside down"]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("clip")
    (folder / f"{NAME}.json").write_text(json.dumps(ARCHITECTURE))
    custom = {**ARCHITECTURE, "custom_text": True}
    (folder / f"{NAME}-custom.json").write_text(json.dumps(custom))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    return open_clip.create_model(NAME, pretrained=None).eval()


@pytest.fixture(scope="module", params=["weights.safetensors", "weights.pt"])
def weights(clip: Any, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    path = tmp_path_factory.mktemp("weights") / request.param
    state = {key: value.contiguous() for key, value in clip.state_dict().items()}
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


def test_vector_is_open_clips_text_feature_before_its_projection(clip: Any, weights: Path) -> None:
    cond = FrozenCLIP(NAME, str(weights))({"captions": PROMPTS})
    wanted = clip.encode_text(open_clip.get_tokenizer(NAME)(PROMPTS))
    torch.testing.assert_close(cond.vector @ clip.text_projection, wanted)


def test_context_is_open_clips_tokens(clip: Any, weights: Path) -> None:
    conditioner = FrozenCLIP(NAME, str(weights))
    cond = conditioner({"captions": PROMPTS})
    ids = open_clip.get_tokenizer(NAME)(PROMPTS)
    tokens = clip.forward_intermediates(
        text=ids, text_indices=1, normalize_intermediates=True, intermediates_only=True, text_output_fmt="NLC"
    )["text_intermediates"][-1]
    torch.testing.assert_close(cond.context, tokens)
    assert cond.context_mask is None
    assert (conditioner.context_width, conditioner.vector_width) == (16, 16)


def test_tokens_see_only_what_is_before_them(weights: Path) -> None:
    one, two = FrozenCLIP(NAME, str(weights))({"captions": ["a red circle", "a red star"]}).context
    assert torch.equal(one[:3], two[:3])
    assert not torch.allclose(one[3], two[3])


def test_null_is_the_empty_prompt(weights: Path) -> None:
    conditioner = FrozenCLIP(NAME, str(weights))
    null, empty = conditioner.null(2), conditioner({"captions": ["", ""]})
    torch.testing.assert_close(null.context, empty.context)
    torch.testing.assert_close(null.vector, empty.vector)


@pytest.mark.parametrize("padding", ["zero", "end"])
def test_tokens_made_on_the_host_and_the_empty_prompt_made_on_the_device(padding: Any) -> None:
    text = CLIPText(width=16, depth=1, heads=2, padding=padding, pooled=True)
    prompts = {"captions": ["a red star", ""]}
    cond = text(prompts)
    for found in (text({"tokens": text.as_tensors(prompts)["tokens"]}), Conditioning.cat([cond[:1], text.null(1)])):
        torch.testing.assert_close(found.context, cond.context)
        torch.testing.assert_close(found.vector, cond.vector)


def test_nothing_is_trained(weights: Path) -> None:
    conditioner = FrozenCLIP(NAME, str(weights)).train()
    assert not conditioner.training
    assert not any(p.requires_grad for p in conditioner.parameters())
    assert not conditioner({"captions": PROMPTS}).context.requires_grad


def test_too_long_a_prompt(weights: Path) -> None:
    conditioner = FrozenCLIP(NAME, str(weights))
    assert conditioner.batch(["a " * 14]) == {"captions": ["a " * 14]}
    with pytest.raises(ValueError, match="has 17 tokens and the model reads 16"):
        conditioner.batch(["a", "a " * 15])
    cut = conditioner({"captions": ["a " * 15]}).context  # a caption of the data
    assert torch.equal(cut, conditioner({"captions": ["a " * 14]}).context)


def test_without_a_file_the_weights_follow_from_a_checkpoint(weights: Path) -> None:
    trained, moved = FrozenCLIP(NAME, str(weights)), FrozenCLIP(NAME, None)
    assert not torch.equal(moved({"captions": PROMPTS}).context, trained({"captions": PROMPTS}).context)
    moved.load_state_dict(trained.state_dict())
    assert torch.equal(moved({"captions": PROMPTS}).context, trained({"captions": PROMPTS}).context)


def test_it_can_be_described_without_memory(clip: Any) -> None:
    with torch.device("meta"):
        conditioner = FrozenCLIP(NAME, None).to("meta")
    assert describe(conditioner, 1, method="null").root.frozen == sum(p.numel() for p in conditioner.parameters())


@pytest.mark.parametrize("model", ["ViT-B-16-SigLIP", "ViT-L-14-CLIPA"])
def test_a_text_tower_with_other_tokens_is_refused_before_anything_is_fetched(model: str) -> None:
    with pytest.raises(ValueError, match=f"conditioner.model={model}: its text tower is not CLIP's"):
        FrozenCLIP(model, None)


def test_missing_weights_and_unknown_models(clip: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"conditioner.weights=.*absent.pt: no such file; give the path"):
        FrozenCLIP(NAME, str(tmp_path / "absent.pt"))
    with pytest.raises(ValueError, match=r"conditioner.model=ViT-nothing: open_clip lacks it"):
        FrozenCLIP("ViT-nothing", str(tmp_path))


def test_weights_that_ask_for_more_than_they_hold_are_refused_unread(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"w": bytearray(5)}, path)
    with pytest.raises(ValueError, match=rf"conditioner.weights={path}: refused, .*it calls \w+\.bytearray"):
        FrozenCLIP(NAME, str(path))


class Malicious:
    """Leaves a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("kind", ["other.pt", "malicious.pt", "torn.safetensors"])
def test_a_file_that_is_not_these_weights(clip: Any, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    if kind == "torn.safetensors":
        path.write_bytes(b"\x00" * 20)
    else:
        torch.save({"w": torch.zeros(1)} if kind == "other.pt" else {"w": Malicious(tmp_path / "harm")}, path)
    with pytest.raises(ValueError, match=f"{kind}: not weights of {NAME}"):
        FrozenCLIP(NAME, str(path))
    assert not (tmp_path / "harm").exists()


def test_an_architecture_with_another_text_tower(clip: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    path.touch()
    with pytest.raises(ValueError, match="its text tower is not CLIP's"):
        FrozenCLIP(f"{NAME}-custom", str(path))


def kept(conditioner: CLIPText, captions: list[str]) -> dict[str, torch.Tensor]:
    return {name: tensor.half() for name, tensor in conditioner.features(captions).items()}


def tiny(**options: Any) -> CLIPText:
    torch.manual_seed(0)
    return CLIPText(width=16, depth=1, heads=2, length=16, **options)


@pytest.mark.parametrize("pooled", [False, True])
def test_kept_features_stand_for_captions(pooled: bool) -> None:
    conditioner = tiny(pooled=pooled)
    assert conditioner.frozen is conditioner
    features = kept(conditioner, PROMPTS)
    assert {name: tuple(tensor.shape[1:]) for name, tensor in features.items()} == conditioner.shapes
    batch = {"captions": ["something else"] * 2, **features}
    assert conditioner.as_tensors(batch) is batch
    found, wanted = conditioner(batch), conditioner({"captions": PROMPTS})
    torch.testing.assert_close(found.context, wanted.context, atol=2e-3, rtol=1e-3)
    assert found.context.dtype == torch.float32
    assert (found.vector is None) is (wanted.vector is None) is not pooled


def test_a_kept_null_is_not_encoded_again_nor_stored(monkeypatch: pytest.MonkeyPatch) -> None:
    conditioner = tiny(pooled=True)
    wanted, state = conditioner.null(3), conditioner.state_dict().keys()
    conditioner.keep_null()
    monkeypatch.setattr(conditioner, "states", None)
    found = conditioner.null(3)
    assert torch.equal(found.context, wanted.context)
    assert torch.equal(found.vector, wanted.vector)
    assert conditioner.state_dict().keys() == state
    assert conditioner.to("meta").null(2).context.device.type == "meta"
