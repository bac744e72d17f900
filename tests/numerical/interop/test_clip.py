"""CLIP's text encoder as Stable Diffusion uses it: against the published layout computed by hand, and transformers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor

from ldmlab.conditioners.clip import CLIPText, FrozenCLIP

transformers = pytest.importorskip("transformers", exc_type=ImportError)

Import = Callable[..., dict[str, Any]]
Error = Callable[[Tensor, Tensor], float]
PROMPTS = ["a photo of a cat", "", "An astronaut riding a horse on MARS!"]
END = 49407
WORDS = [320, 1125, 539, 320, 2368]
"""What CLIP's published tokenizer makes of "a photo of a cat"."""


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def text_model(state: Mapping[str, Tensor], ids: Tensor, heads: int, activation: Callable[[Tensor], Tensor]) -> Tensor:
    """CLIPTextModel's last_hidden_state, in float64, from its tensors."""
    weights = {name.removeprefix("text_model."): tensor.double() for name, tensor in state.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ weights[f"{name}.weight"].T + weights[f"{name}.bias"]

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], weights[f"{name}.weight"], weights[f"{name}.bias"], 1e-5)

    length = ids.shape[1]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    x = weights["embeddings.token_embedding.weight"][ids] + weights["embeddings.position_embedding.weight"][:length]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("encoder."))
    for layer in range(layers):
        at = f"encoder.layers.{layer}."
        normed = norm(x, f"{at}layer_norm1")
        q, k, v = (
            linear(normed, f"{at}self_attn.{n}_proj").unflatten(-1, (heads, -1)).transpose(1, 2)
            for n in ("q", "k", "v")
        )
        scores = (q @ k.mT / q.shape[-1] ** 0.5).masked_fill(future, float("-inf"))
        x = x + linear((scores.softmax(-1) @ v).transpose(1, 2).flatten(2), f"{at}self_attn.out_proj")
        x = x + linear(activation(linear(norm(x, f"{at}layer_norm2"), f"{at}mlp.fc1")), f"{at}mlp.fc2")
    return norm(x, "final_layer_norm")


def test_ids_are_stable_diffusions() -> None:
    """Begin, words, end, and the end mark again up to 77; open_clip fills with 0."""
    ends, zeros = CLIPText(8, 1, 1), CLIPText(8, 1, 1, padding="zero")
    ids, end = ends.token_ids(PROMPTS)
    assert ids[0].tolist() == [49406, *WORDS, *[END] * 71]
    assert ids[1].tolist() == [49406, *[END] * 76]
    assert end.tolist()[:2] == [6, 1]
    assert zeros.token_ids(PROMPTS)[0][0].tolist() == [49406, *WORDS, END, *[0] * 70]
    assert torch.equal(zeros.token_ids(PROMPTS)[1], end)


def test_a_prompt_that_fills_the_context_ends_in_the_end_mark() -> None:
    ids, end = CLIPText(8, 1, 1).token_ids(["cat " * 100])
    assert ids[0, -2:].tolist() == [2368, END]
    assert end.tolist() == [76]


def test_unknown_padding() -> None:
    with pytest.raises(ValueError, match=r"conditioner\.padding=left: choose zero"):
        CLIPText(8, 1, 1, padding="left")  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["text_encoder", "alone.safetensors", "bare.safetensors"])
def test_states(
    name: str, clip: dict[str, Tensor], stable_diffusion: Path, imported: Import, relative_error: Error, tmp_path: Path
) -> None:
    """A folder; a file, in which heads and activation are those of every released CLIP; one without the prefix."""
    heads = 4 if name == "text_encoder" else 1
    path = stable_diffusion / name if name == "text_encoder" else tmp_path / name
    prefix = "text_model." if name == "bare.safetensors" else ""
    if path.suffix:
        save_file({key.removeprefix(prefix): tensor for key, tensor in clip.items()}, path)
    ours = imported(path)["conditioner"]
    cond = ours({"captions": PROMPTS})
    wanted = text_model(clip, ours.token_ids(PROMPTS)[0], heads, quick_gelu)
    assert relative_error(cond.context.double(), wanted) < 1e-5
    assert cond.vector is None
    assert cond.context_mask is None


def test_states_with_gelu(clip: dict[str, Tensor], imported: Import, relative_error: Error, tmp_path: Path) -> None:
    save_file(clip, tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"hidden_act": "gelu", "num_attention_heads": 2}))
    ours = imported(tmp_path)["conditioner"]
    wanted = text_model(clip, ours.token_ids(PROMPTS)[0], 2, F.gelu)
    assert relative_error(ours({"captions": PROMPTS}).context.double(), wanted) < 1e-5


def test_transformers(stable_diffusion: Path, imported: Import, relative_error: Error) -> None:
    theirs = transformers.CLIPTextModel.from_pretrained(stable_diffusion / "text_encoder", local_files_only=True).eval()
    ours = imported(stable_diffusion)["conditioner"]
    ids = ours.token_ids(PROMPTS)[0]
    with torch.no_grad():
        wanted = theirs(ids).last_hidden_state
    assert relative_error(ours({"captions": PROMPTS}).context, wanted) < 1e-5


@pytest.fixture(scope="module")
def whole_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """A model of open_clip with both towers, and its weights."""
    folder = tmp_path_factory.mktemp("clip")
    architecture = {
        "embed_dim": 12,
        "vision_cfg": {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2},
    }
    (folder / "ldmlab-interop.json").write_text(json.dumps(architecture))
    open_clip.add_model_config(folder)
    torch.manual_seed(0)
    model = open_clip.create_model("ldmlab-interop", pretrained=None).eval()
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "clip.safetensors")
    return model, folder / "clip.safetensors"


def test_open_clip(whole_clip: tuple[Any, Path], imported: Import) -> None:
    """The text tower of a whole CLIP; its image tower is left out."""
    model, path = whole_clip
    ours = imported(path, quick_gelu=False)["conditioner"]
    with pytest.raises(ValueError, match=r"do not say which activation .* give quick_gelu=true for OpenAI's weights"):
        imported(path)
    wanted = FrozenCLIP("ldmlab-interop", str(path))({"captions": PROMPTS}).context
    assert torch.equal(ours({"captions": PROMPTS}).context, wanted)
    features = model.encode_text(open_clip.get_tokenizer("ldmlab-interop")(PROMPTS))
    ends = ours.token_ids(PROMPTS)[1]
    torch.testing.assert_close(wanted[torch.arange(3), ends] @ model.text_projection, features)


def test_an_imported_text_encoder_is_weights_of_its_architecture(
    whole_clip: tuple[Any, Path], ldmlab: Callable[..., Any], tmp_path: Path
) -> None:
    _, path = whole_clip
    output = tmp_path / "text.safetensors"
    done = ldmlab("import", path, f"output={output}", "quick_gelu=false")
    assert done.code == 0, done.err
    assert "CLIP's image encoder" in done.out
    assert {name.partition(".")[0] for name in load_file(output)} == {"conditioner"}
    one, other = (FrozenCLIP("ldmlab-interop", str(weights)) for weights in (path, output))
    assert torch.equal(one({"captions": PROMPTS}).context, other({"captions": PROMPTS}).context)
    assert "holds a text encoder alone" in ldmlab("sample", f"ckpt={output}", "n=1").refusal()
