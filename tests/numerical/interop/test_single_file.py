"""Whole files of CompVis' training code: every part found, every key accounted for, judged by diffusers' converters."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.interop.family import ImportHints
from ldmlab.interop.importing import Imported, assemble, convert_parts
from ldmlab.interop.public_checkpoint import read_public
from ldmlab.models.build import build_outline
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.types import Conditioning

pytest.importorskip("diffusers", exc_type=ImportError)

import diffusers
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint

Import = Callable[..., dict[str, Any]]
Error = Callable[[Tensor, Tensor], float]
slow = partial(pytest.param, marks=pytest.mark.slow)


def unet_original(state: Mapping[str, Tensor], blocks: int) -> dict[str, Tensor]:
    """diffusers' names as CompVis writes them, for 3 resolutions of which the last has no attention."""
    stages = {}
    for i in range(3):
        for j in range(blocks):
            stages[f"down_blocks.{i}.resnets.{j}."] = f"input_blocks.{1 + (blocks + 1) * i + j}.0."
            stages[f"down_blocks.{i}.attentions.{j}."] = f"input_blocks.{1 + (blocks + 1) * i + j}.1."
        stages[f"down_blocks.{i}.downsamplers.0.conv."] = f"input_blocks.{(blocks + 1) * (i + 1)}.0.op."
        for j in range(blocks + 1):
            stages[f"up_blocks.{i}.resnets.{j}."] = f"output_blocks.{(blocks + 1) * i + j}.0."
            stages[f"up_blocks.{i}.attentions.{j}."] = f"output_blocks.{(blocks + 1) * i + j}.1."
        last = (blocks + 1) * i + blocks
        stages[f"up_blocks.{i}.upsamplers.0."] = f"output_blocks.{last}.{1 if i == 0 else 2}."
    stages |= {
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_in.": "input_blocks.0.0.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
    }
    inner = {
        "norm1": "in_layers.0",
        "conv1": "in_layers.2",
        "time_emb_proj": "emb_layers.1",
        "norm2": "out_layers.0",
        "conv2": "out_layers.3",
        "conv_shortcut": "skip_connection",
    }
    original = {}
    for name, tensor in state.items():
        start = next(s for s in stages if name.startswith(s))
        rest = name.removeprefix(start)
        if "resnets" in start:
            layer, _, kind = rest.partition(".")
            rest = f"{inner[layer]}.{kind}"
        original[stages[start] + rest] = tensor
    return original


def vae_original(state: Mapping[str, Tensor], resolutions: int) -> dict[str, Tensor]:
    """diffusers' names of an autoencoder as CompVis writes them; attention is made of 1x1 convolutions."""
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
    original = {}
    for name, tensor in state.items():
        if "attentions" in name:
            for new, old in attention.items():
                name = re.sub(rf"\.{re.escape(new)}\.", f".{old}.", name)
            tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        name = name.replace("mid_block.attentions.0.", "mid.attn_1.").replace("conv_shortcut", "nin_shortcut")
        name = name.replace("mid_block.resnets.0.", "mid.block_1.").replace("mid_block.resnets.1.", "mid.block_2.")
        name = re.sub(r"down_blocks\.(\d)\.resnets\.", r"down.\1.block.", name)
        name = re.sub(r"down_blocks\.(\d)\.attentions\.", r"down.\1.attn.", name)
        name = re.sub(r"down_blocks\.(\d)\.downsamplers\.0\.", r"down.\1.downsample.", name)
        for i in range(resolutions):
            up = f"up.{resolutions - 1 - i}"
            name = name.replace(f"up_blocks.{i}.resnets.", f"{up}.block.")
            name = name.replace(f"up_blocks.{i}.attentions.", f"{up}.attn.")
            name = name.replace(f"up_blocks.{i}.upsamplers.0.", f"{up}.upsample.")
        original[name.replace("conv_norm_out", "norm_out")] = tensor
    return original


@pytest.fixture(scope="module")
def plain_vae() -> Any:
    """Without attention but in the middle and with 32 groups, as Stable Diffusion's."""
    torch.manual_seed(5)
    kinds = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return diffusers.AutoencoderKL(block_out_channels=(32, 64), layers_per_block=1, latent_channels=4, **kinds).eval()


@pytest.fixture(scope="module")
def whole(unet: Any, plain_vae: Any, clip: dict[str, Tensor]) -> dict[str, Tensor]:
    """The keys of Stable Diffusion 1.x as it was released, averages and buffers among them."""
    network = unet_original(unet.state_dict(), 2)
    state = {f"model.diffusion_model.{name}": tensor - 1 for name, tensor in network.items()}
    state |= {f"model_ema.diffusion_model{name.replace('.', '')}": tensor for name, tensor in network.items()}
    state |= {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(7)}
    state |= {f"first_stage_model.{name}": t for name, t in vae_original(plain_vae.state_dict(), 2).items()}
    state |= {f"cond_stage_model.transformer.{name}": tensor for name, tensor in clip.items()}
    state["cond_stage_model.transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float64) ** 2
    kept = torch.cumprod(1 - betas, 0)
    buffers = {"betas": betas, "alphas_cumprod": kept, "sqrt_one_minus_alphas_cumprod": (1 - kept).sqrt()}
    return state | {name: value.float() for name, value in buffers.items()}


def saved(state: Mapping[str, Tensor], path: Path) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, path)
    return path


@torch.no_grad()
def test_the_hand_written_layout_is_one_that_diffusers_reads(
    whole: dict[str, Tensor], unet: Any, plain_vae: Any
) -> None:
    """Else the tests below would judge our table by our own mistake."""
    network = convert_ldm_unet_checkpoint(dict(whole), unet.config, extract_ema=True)
    assert network.keys() == unet.state_dict().keys()
    assert all(torch.equal(network[name], tensor) for name, tensor in unet.state_dict().items())
    autoencoder = convert_ldm_vae_checkpoint(dict(whole), plain_vae.config)
    assert autoencoder.keys() == plain_vae.state_dict().keys()
    assert all(torch.equal(autoencoder[name], tensor) for name, tensor in plain_vae.state_dict().items())


@pytest.mark.parametrize("suffix", ["safetensors", slow("ckpt")])
@torch.no_grad()
def test_stable_diffusion(
    suffix: str,
    whole: dict[str, Tensor],
    unet: Any,
    plain_vae: Any,
    imported: Import,
    relative_error: Error,
    tmp_path: Path,
) -> None:
    path = tmp_path / f"sd.{suffix}"
    if suffix == "ckpt":
        torch.save({"state_dict": whole, "global_step": 470000}, path)
    ours = imported(path if suffix == "ckpt" else saved(whole, path), heads=8, latent_scale=0.18215)
    generator = torch.Generator().manual_seed(0)
    x, context = torch.randn(2, 4, 8, 8, generator=generator), torch.randn(2, 5, 32, generator=generator)
    timesteps = torch.tensor([10, 900])
    wanted = unet(x, timesteps, context).sample
    assert relative_error(ours["backbone"](x, timesteps, Conditioning(context=context)), wanted) < 1e-5
    wanted = plain_vae.decode(x / 0.18215).sample
    assert relative_error(ours["autoencoder"].decode(x), wanted) < 1e-5


def test_summary_and_process(whole: dict[str, Tensor], tmp_path: Path) -> None:
    source = read_public(saved(whole | {"scale_factor": torch.tensor(0.25)}, tmp_path / "sd.safetensors"))
    made = assemble(source, *convert_parts(source, ImportHints(heads=8)), ImportHints(image_size=16))
    assert made.config["schedule"] == {
        "_target_": "ldmlab.diffusion.schedules.scaled_linear",
        "timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
    }
    assert made.config["objective"]["_target_"].endswith("Simple")
    assert made.config["image_size"] == 16
    assert made.ema
    assert made.state["autoencoder.latent_std"].tolist() == [4.0] * 4
    text = "\n".join(made.summary)
    for told in (
        "494 x raw weights, of which the averages are taken",
        "2 x counters of the averages",
        "3 x tables that follow from the noise schedule",
        "1 x the numbers 0, 1, 2 ... of positions",
    ):
        assert told in text


def test_raw_weights_where_they_are_asked_for(whole: dict[str, Tensor], tmp_path: Path) -> None:
    source = read_public(saved(whole, tmp_path / "sd.safetensors"), ema=False)
    parts, ignored = convert_parts(source, ImportHints(heads=8, latent_scale=1.0))
    assert torch.equal(parts["backbone"].state["into.bias"], whole["model.diffusion_model.input_blocks.0.0.bias"])
    assert ignored["averages of the raw weights that are taken"] == 494
    assert not source.ema


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda s: s.pop("model_ema.diffusion_modelout2bias"),
            "averages, and lacks 'model_ema.diffusion_modelout2bias'",
        ),
        (lambda s: s.update({"model_ema.x": torch.zeros(1)}), "'model_ema.x' is left over: it averages nothing"),
        (lambda s: s.update(extra=torch.zeros(1)), "'extra' is left over: it belongs to no part"),
        (
            lambda s: s.update({"first_stage_model.encoder.extra": torch.zeros(3)}),
            r"'first_stage_model.encoder.extra' of shape \(3,\) is left over",
        ),
        (lambda s: s.update(betas=s["betas"].flip(0)), "'betas' rise neither linearly"),
        (
            lambda s: s.pop("first_stage_model.decoder.mid.block_1.norm1.weight"),
            r"lacks 'first_stage_model.decoder.mid.block_1.norm1.weight' of shape \(64,\)",
        ),
    ],
)
def test_refused(change: Callable[[dict[str, Tensor]], object], told: str, whole: Any, tmp_path: Path) -> None:
    state = dict(whole)
    change(state)
    with pytest.raises(ValueError, match=told):
        convert_parts(read_public(saved(state, tmp_path / "sd.safetensors")), ImportHints(heads=8, latent_scale=1.0))


def test_the_scale_of_latents_belongs_to_one_autoencoder(whole: dict[str, Tensor], tmp_path: Path) -> None:
    """0.18215 is that of Stable Diffusion's, of factor 8; this one has factor 2."""
    with pytest.raises(ValueError, match="neither it nor a config tells the scale of its latents; give latent_scale"):
        convert_parts(read_public(saved(whole, tmp_path / "sd.safetensors")), ImportHints(heads=8))


WITHOUT_CONTEXT = {
    "in_channels": 7,
    "out_channels": 3,
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 64,
    "layers_per_block": 1,
}
"""Keys are made of the features' own width wherever there is attention."""


def test_inpainting(vqvae: Any, tmp_path: Path) -> None:
    """Its condition is encoded by the first stage, which the file holds twice."""
    network = unet_original(diffusers.UNet2DConditionModel(**WITHOUT_CONTEXT).state_dict(), 1)
    first_stage = vae_original(vqvae.state_dict(), 2)
    state = {f"model.diffusion_model.{name}": tensor for name, tensor in network.items()}
    state |= {f"first_stage_model.{name}": tensor for name, tensor in first_stage.items()}
    state |= {f"cond_stage_model.{name}": tensor.clone() for name, tensor in first_stage.items()}
    source = read_public(saved(state, tmp_path / "inpainting.safetensors"))
    made = assemble(source, *convert_parts(source, ImportHints(heads=8)), ImportHints())
    target = "ldmlab.conditioners.{}"
    without_text = {"_target_": target.format("none.NoCondition")}
    told = {"_target_": target.format("inpainting.Inpainting"), "layout": "ldm", "text": without_text}
    assert made.config["conditioner"] == told
    assert made.config["backbone"]["concat_channels"] == 4
    build_outline(made.config)
    assert f"{len(first_stage)} x the first stage once more" in "\n".join(made.summary)
    assert "backbone: reads 4 further channels, which the conditioner gives" in "\n".join(made.summary)


@torch.no_grad()
def test_classes_and_a_codebook(unet: Any, vqvae: Any, imported: Import, relative_error: Error, tmp_path: Path) -> None:
    """The class-conditional model on ImageNet: a table of classes, of which the last row is the null class."""
    state = {f"model.diffusion_model.{name}": t for name, t in unet_original(unet.state_dict(), 2).items()}
    state |= {f"first_stage_model.{name}": t for name, t in vae_original(vqvae.state_dict(), 2).items()}
    state["first_stage_model.loss.discriminator.main.0.weight"] = torch.zeros(1)
    table = torch.randn(11, 32, generator=torch.Generator().manual_seed(0))
    state["cond_stage_model.embedding.weight"] = table
    path = saved(state, tmp_path / "cin.safetensors")
    source = read_public(path)
    made = assemble(source, *convert_parts(source, ImportHints(heads=8)), ImportHints())
    assert "loss and discriminator" in "\n".join(made.summary)
    assert made.config["schedule"]["beta_end"] == 0.0195
    assert made.state["autoencoder.latent_std"].tolist() == [1.0] * 3
    ours = imported(path, heads=8)
    assert torch.equal(ours["conditioner"]({"labels": [3]}).context, table[None, 3:4])
    assert torch.equal(ours["conditioner"].null(1).context, table[None, 10:])
    latents = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    theirs = _with_32_groups(vqvae)
    assert relative_error(ours["autoencoder"].decode(latents), theirs.decode(latents).sample) < 1e-5


def _with_32_groups(vqvae: Any) -> Any:
    model = diffusers.VQModel(**{**vqvae.config, "norm_num_groups": 32}).eval()
    model.load_state_dict(vqvae.state_dict())
    return model


WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "star", "##s", "!"]


def bert(state: Mapping[str, Tensor], ids: Tensor, heads: int) -> Tensor:
    """The encoder of x-transformers, pre-norm, without a mask; in float64."""
    w = {name.removeprefix("transformer."): tensor.double() for name, tensor in state.items()}

    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, w[f"{name}.weight"], w.get(f"{name}.bias"))

    def norm(x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"])

    x = w["token_emb.weight"][ids] + w["pos_emb.emb.weight"]
    for layer in range(2):
        at = f"attn_layers.layers.{2 * layer}."
        normed = norm(x, f"{at}0")
        q, k, v = (linear(normed, f"{at}1.to_{n}").unflatten(-1, (heads, 64)).transpose(1, 2) for n in "qkv")
        out = ((q @ k.mT / 8).softmax(-1) @ v).transpose(1, 2).flatten(2)
        x = x + linear(out, f"{at}1.to_out")
        at = f"attn_layers.layers.{2 * layer + 1}."
        x = x + linear(F.gelu(linear(norm(x, f"{at}0"), f"{at}1.net.0.0")), f"{at}1.net.2")
    return norm(x, "norm")


@torch.no_grad()
def test_prompt_model(imported: Import, relative_error: Error, tmp_path: Path) -> None:
    """Latent diffusion's, with the words of BERT from a file."""
    width, length = 24, 6
    shapes: dict[str, tuple[int, ...]] = {
        "token_emb.weight": (len(WORDS), width),
        "pos_emb.emb.weight": (length, width),
        "norm.weight": (width,),
        "norm.bias": (width,),
        "to_logits.weight": (len(WORDS), width),
    }
    for layer in range(4):
        at = f"attn_layers.layers.{layer}."
        shapes |= {f"{at}0.weight": (width,), f"{at}0.bias": (width,)}
        if layer % 2:
            shapes |= {f"{at}1.net.0.0.weight": (4 * width, width), f"{at}1.net.0.0.bias": (4 * width,)}
            shapes |= {f"{at}1.net.2.weight": (width, 4 * width), f"{at}1.net.2.bias": (width,)}
        else:
            shapes |= {f"{at}1.to_{n}.weight": (128, width) for n in "qkv"}
            shapes |= {f"{at}1.to_out.weight": (width, 128), f"{at}1.to_out.bias": (width,)}
    generator = torch.Generator().manual_seed(0)
    state = {f"transformer.{name}": 0.4 * torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    path = saved(state, tmp_path / "bert.safetensors")
    with pytest.raises(ValueError, match="in the words of bert-base-uncased, which the file lacks; give tokenizer="):
        imported(path)
    vocabulary = tmp_path / "vocab.txt"
    vocabulary.write_text("\n".join(WORDS))
    ours = imported(path, tokenizer=vocabulary)["conditioner"]
    cond = ours({"captions": ["A red stars!", "oh"]})
    ids = torch.tensor([[2, 4, 5, 6, 7, 3], [2, 1, 3, 0, 0, 0]])
    assert relative_error(cond.context.double(), bert(state, ids, 2)) < 1e-5
    assert cond.vector is None
    assert cond.context_mask is None


ZERO_SNR = scaled_linear(zero_terminal_snr=True).betas.float()


@pytest.mark.parametrize(
    ("changes", "metadata", "hints", "wanted"),
    [
        slow({}, {}, {}, ("Epsilon", False)),
        slow({}, {}, {"parameterization": "velocity"}, ("Velocity", False)),
        slow({}, {}, {"parameterization": "velocity", "zero_terminal_snr": True}, ("Velocity", True)),
        slow({"v_pred": torch.empty(0)}, {}, {}, ("Velocity", False)),
        ({"v_pred": torch.empty(0), "ztsnr": torch.empty(0)}, {}, {}, ("Velocity", True)),
        ({}, {"modelspec.prediction_type": "v"}, {}, ("Velocity", False)),
        ({"betas": ZERO_SNR}, {}, {"parameterization": "x0"}, ("CleanLatents", True)),
    ],
    ids=range(7),
)
def test_what_a_file_was_trained_to_predict(
    changes: dict[str, Tensor],
    metadata: dict[str, str],
    hints: dict[str, Any],
    wanted: tuple[str, bool],
    whole: dict[str, Tensor],
    tmp_path: Path,
) -> None:
    path = tmp_path / "sd.safetensors"
    save_file({name: tensor.contiguous() for name, tensor in (whole | changes).items()}, path, metadata)
    source = read_public(path)
    made = assemble(source, *convert_parts(source, ImportHints(heads=8, latent_scale=1.0)), ImportHints(**hints))
    prediction = made.config["parameterization"]["_target_"].rpartition(".")[2]
    model = build_outline(made.config)
    assert isinstance(model, LatentDiffusion)
    assert (prediction, model.denoiser.schedule.ends_in_noise) == wanted
    told = f"{sum(not t.numel() for t in changes.values())} x marks of the diffusion process, which are heeded"
    assert (told in "\n".join(made.summary)) == ("v_pred" in changes)


def made_of(path: Path, hints: ImportHints) -> Imported:
    source = read_public(path)
    return assemble(source, *convert_parts(source, ImportHints(heads=8)), hints)


@pytest.mark.parametrize(
    ("changes", "hints", "told"),
    [
        ({"v_pred": torch.empty(0)}, {"parameterization": "epsilon"}, "parameterization=epsilon: .* says velocity"),
        slow({"ztsnr": torch.empty(0)}, {"zero_terminal_snr": False}, "zero_terminal_snr=False: .* says True"),
        ({}, {"tokenizer": Path("vocab.txt")}, "tokenizer=vocab.txt: nothing in this import reads it"),
        ({"scale_factor": torch.zeros(2)}, {}, r"'scale_factor' is of shape \(2,\), no number"),
        ({"scale_factor": torch.tensor(float("nan"))}, {}, "has scaling_factor=nan, where a number above 0"),
        slow({"scale_factor": torch.tensor(0)}, {}, "has scaling_factor=0.0, where a number above 0"),
        slow({"betas": torch.zeros(0)}, {}, r"'betas' are of shape \(0,\), no schedule"),
        ({"betas": torch.zeros(5, 5)}, {}, r"'betas' are of shape \(5, 5\), no schedule"),
        slow({"betas": torch.full((10,), float("nan"))}, {}, "'betas' rise neither"),
    ],
    ids=range(9),
)
def test_what_a_file_says_itself_is_no_hint_and_has_to_make_sense(
    changes: dict[str, Tensor], hints: dict[str, Any], told: str, whole: dict[str, Tensor], tmp_path: Path
) -> None:
    scale = {"scale_factor": torch.tensor(0.25)}
    path = saved(whole | scale | changes, tmp_path / "sd.safetensors")
    with pytest.raises(ValueError, match=told):
        made_of(path, ImportHints(**hints))
