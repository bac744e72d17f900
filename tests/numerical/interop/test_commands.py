"""`ldmlab import` and `ldmlab export`: there, to use, and back again to the last bit."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.interop.family import ImportHints
from ldmlab.interop.import_file import require_whole
from ldmlab.interop.importing import assemble, convert_parts
from ldmlab.interop.public_checkpoint import read_public
from ldmlab.models.checkpoints import export_weights
from ldmlab.models.loading import load_autoencoder, load_latent_diffusion

diffusers = pytest.importorskip("diffusers", exc_type=ImportError)

Command = Callable[..., Any]
Error = Callable[[Tensor, Tensor], float]
Done = Callable[..., str]
slow = partial(pytest.param, marks=pytest.mark.slow)


@pytest.fixture(scope="session")
def run(ldmlab: Command) -> Done:
    """Run a command that has to succeed, and return what it prints."""

    def must(*words: object) -> str:
        done = ldmlab(*words)
        assert done.code == 0, done.err
        return str(done.out)

    return must


@pytest.fixture(scope="module")
def sd(stable_diffusion: Path, run: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "sd.safetensors"
    out = run("import", stable_diffusion, f"output={path}")
    assert "ignored: 1 x the safety checker" in out
    return path


@pytest.fixture(scope="module")
def dit(dit_folder: Path, run: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ours") / "dit.safetensors"
    run("import", dit_folder, f"output={path}")
    return path


def content(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with safe_open(path, "pt") as stored:
        config = json.loads(stored.metadata()["config"])
    return config, load_file(path)


def assert_same(one: Path, other: Path) -> None:
    (config, state), (other_config, other_state) = content(one), content(other)
    assert config == other_config
    assert state.keys() == other_state.keys()
    assert [name for name, tensor in state.items() if not torch.equal(tensor, other_state[name])] == []


def test_config(sd: Path, dit: Path) -> None:
    config, _ = content(sd)
    assert config["image_size"] == 32
    assert config["schedule"]["_target_"] == "ldmlab.diffusion.schedules.scaled_linear"
    assert config["parameterization"]["_target_"] == "ldmlab.diffusion.parameterizations.Epsilon"
    assert config["conditioner"]["padding"] == "end"
    assert content(dit)[0]["objective"]["_target_"] == "ldmlab.diffusion.objectives.Hybrid"


def test_samples(sd: Path, dit: Path, run: Done, tmp_path: Path) -> None:
    for ckpt, prompts in ((sd, ["a red star", "x"]), (dit, ["3", "999"])):
        folder = tmp_path / ckpt.stem
        run("sample", *prompts, f"ckpt={ckpt}", "n=2", "sampler.steps=2", f"output_dir={folder}")
        assert (folder / "00001.png").is_file()


@pytest.fixture(scope="module")
def exported(sd: Path, run: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exported") / "sd"
    run("export", f"ckpt={sd}", f"output={folder}")
    return folder


@torch.no_grad()
def test_stable_diffusion_there_and_back(
    sd: Path,
    exported: Path,
    unet: Any,
    vae: Any,
    clip: dict[str, Tensor],
    run: Done,
    relative_error: Error,
    tmp_path: Path,
) -> None:
    folder = exported
    network = diffusers.UNet2DConditionModel.from_pretrained(folder / "unet", local_files_only=True)
    x, context, timesteps = torch.randn(2, 4, 16, 16), torch.randn(2, 3, 32), torch.tensor([0, 500])
    wanted = unet(x, timesteps, context).sample
    assert relative_error(network(x, timesteps, context).sample, wanted) < 1e-5
    decoder = diffusers.AutoencoderKL.from_pretrained(folder / "vae", local_files_only=True)
    assert decoder.config.scaling_factor == 0.18215
    assert relative_error(decoder.decode(x).sample, vae.decode(x).sample) < 1e-5
    text = load_file(folder / "text_encoder/model.safetensors")
    assert text.keys() == clip.keys()
    assert all(torch.equal(text[name], tensor) for name, tensor in clip.items())
    scheduler = diffusers.DDIMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
    assert abs(float(scheduler.alphas_cumprod[-1]) - 0.004660) < 1e-6
    again = tmp_path / "again.safetensors"
    run("import", folder, f"output={again}")
    assert_same(sd, again)


def test_tokenizer_files(exported: Path) -> None:
    """CLIP's words with the marks that transformers knows them by."""
    folder = exported / "tokenizer"
    words = json.loads((folder / "vocab.json").read_text())
    assert (words["<|startoftext|>"], words["<|endoftext|>"], words["cat</w>"]) == (49406, 49407, 2368)
    assert len(words) == 49408
    merges = (folder / "merges.txt").read_text().splitlines()
    assert merges[:2] == ["#version: 0.2", "i n"]
    assert len(merges) == 1 + 49408 - 2 - 512
    assert json.loads((folder / "tokenizer_config.json").read_text())["pad_token"] == "<|endoftext|>"


@torch.no_grad()
def test_whole_pipeline_in_diffusers(sd: Path, exported: Path, relative_error: Error) -> None:
    """It reads the same tokens out of a prompt, makes the same context of them, and draws."""
    pipeline = diffusers.StableDiffusionPipeline.from_pretrained(exported, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    conditioner = load_latent_diffusion(str(sd)).model.conditioner
    prompts = ["A photo of a cat,  isn't it?", "caf\u00e9 no. 5", "word " * 90]
    tokens = pipeline.tokenizer(prompts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
    assert torch.equal(conditioner.token_ids(prompts)[0], tokens.input_ids)
    context = pipeline.encode_prompt(prompts, "cpu", 1, do_classifier_free_guidance=False)[0]
    assert relative_error(conditioner({"captions": prompts}).context, context) < 1e-5
    assert pipeline("a cat", num_inference_steps=1, output_type="np").images.shape == (1, 32, 32, 3)


@torch.no_grad()
def test_dit_there_and_back(dit: Path, transformer: Any, run: Done, relative_error: Error, tmp_path: Path) -> None:
    run("export", f"ckpt={dit}", f"output={tmp_path / 'dit'}")
    pipeline = diffusers.DiTPipeline.from_pretrained(tmp_path / "dit", local_files_only=True)
    assert pipeline.transformer.transformer_blocks[2].norm1.emb.time_proj.downscale_freq_shift == 1
    for block in (*transformer.transformer_blocks, *pipeline.transformer.transformer_blocks):
        block.norm1.emb.time_proj.downscale_freq_shift = 0
    x, labels = torch.randn(2, 4, 8, 8), torch.tensor([3, 4])
    outputs = [model(x, torch.tensor([5, 800]), labels).sample for model in (pipeline.transformer, transformer)]
    assert relative_error(*outputs) < 1e-5
    assert pipeline([1], num_inference_steps=1, output_type="np").images.shape == (1, 16, 16, 3)
    run("import", tmp_path / "dit", f"output={tmp_path / 'again.safetensors'}")
    assert_same(dit, tmp_path / "again.safetensors")


@pytest.mark.parametrize("kind", [slow("vae"), "vqvae"])
@torch.no_grad()
def test_autoencoder_there_and_back(
    kind: str, run: Done, relative_error: Error, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    theirs = request.getfixturevalue(kind)
    theirs.save_pretrained(tmp_path / "theirs")
    one, folder, other = tmp_path / "one.safetensors", tmp_path / "folder", tmp_path / "other.safetensors"
    run("import", tmp_path / "theirs", f"output={one}")
    run("export", f"ckpt={one}", f"output={folder}")
    run("import", folder, f"output={other}")
    assert_same(one, other)
    exported = type(theirs).from_pretrained(folder, local_files_only=True)
    images = torch.randn(1, 3, 32, 32)
    assert relative_error(exported(images).sample, theirs(images).sample) < 1e-5
    assert exported.config.scaling_factor == theirs.config.scaling_factor


@torch.no_grad()
def test_statistics_of_every_channel_go_into_the_convolutions(
    autoencoder: Path, ldmlab: Command, relative_error: Error, tmp_path: Path
) -> None:
    """diffusers knows one scale; an autoencoder trained here has a mean and a deviation for every channel."""
    refusal = ldmlab("export", f"ckpt={autoencoder / 'model.safetensors'}", f"output={tmp_path / 'x'}").refusal()
    assert "autoencoder.patch=4, and diffusers' autoencoders start from single pixels" in refusal
    assert not (tmp_path / "x").exists()
    ours = tmp_path / "ours.safetensors"
    model = _small_autoencoder(ours)
    assert ldmlab("export", f"ckpt={ours}", f"output={tmp_path / 'y'}").code == 0
    theirs = diffusers.AutoencoderKL.from_pretrained(tmp_path / "y", local_files_only=True)
    loaded = load_autoencoder(str(ours))[0]
    images, latents = torch.randn(2, 3, 16, 16), torch.randn(2, 4, 8, 8)
    mean, std = loaded.moments(images)
    posterior = theirs.encode(images).latent_dist
    assert theirs.config.scaling_factor == 1
    assert relative_error(posterior.mean, mean) < 1e-5
    assert relative_error(posterior.std, std) < 1e-5
    assert relative_error(theirs.decode(latents).sample, loaded.decode(latents)) < 1e-5
    assert float(model.latent_mean.abs().min()) > 0


def _small_autoencoder(path: Path) -> Any:
    torch.manual_seed(0)
    sizes = {"channels": 8, "multipliers": [1, 2], "residual_blocks": 1, "norm_groups": 4, "attention_factors": [2]}
    model = AutoencoderKL(**sizes)
    model.set_statistics(torch.tensor([0.5, -1.0, 2.0, 0.1]), torch.tensor([0.3, 2.0, 5.0, 1.0]))
    state = {f"autoencoder.{name}": tensor for name, tensor in model.state_dict().items()}
    section = {"_target_": "ldmlab.autoencoders.kl.AutoencoderKL", **sizes}
    export_weights(path, state, {"model": "autoencoder", "autoencoder": section, "image_size": 16}, ema=False)
    return model


def test_half_precision(stable_diffusion: Path, vae: Any, run: Done, tmp_path: Path) -> None:
    half, folder = tmp_path / "half.safetensors", tmp_path / "vae"
    run("import", stable_diffusion / "vae", f"output={half}", "half=true")
    state = load_file(half)
    assert {tensor.dtype for tensor in state.values()} == {torch.float16}
    assert torch.equal(state["autoencoder.from_latents.bias"], vae.post_quant_conv.bias.half())
    run("export", f"ckpt={half}", f"output={folder}", "half=true")
    weights = load_file(folder / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float16}
    assert torch.equal(weights["post_quant_conv.bias"], vae.post_quant_conv.bias.half())


def test_a_backbone_alone_needs_the_other_parts(
    stable_diffusion: Path, dit_folder: Path, sd: Path, dit: Path, ldmlab: Command, run: Done, tmp_path: Path
) -> None:
    refusal = ldmlab("import", stable_diffusion / "unet").refusal()
    assert "holds no autoencoder, without which a model is not whole; give autoencoder_ckpt=PATH" in refusal
    refusal = ldmlab("import", stable_diffusion / "unet", f"autoencoder_ckpt={stable_diffusion / 'vae'}").refusal()
    assert "holds no conditioner" in refusal
    refusal = ldmlab("import", stable_diffusion / "unet", f"autoencoder_ckpt={stable_diffusion / 'unet'}").refusal()
    assert f"autoencoder_ckpt={stable_diffusion / 'unet'}: holds no autoencoder, but backbone" in refusal
    whole = tmp_path / "whole.safetensors"
    others = [f"autoencoder_ckpt={stable_diffusion / 'vae'}", f"conditioner_ckpt={sd}"]
    run("import", stable_diffusion / "unet", *others, f"output={whole}")
    assert_same(sd, whole)
    weights = dit_folder / "transformer/diffusion_pytorch_model.safetensors"
    lone = ["heads=4", "image_size=16", f"autoencoder_ckpt={sd}", f"output={tmp_path / 'dit.safetensors'}"]
    run("import", weights, *lone)
    assert_same(dit, tmp_path / "dit.safetensors")


def test_parts_that_do_not_fit(stable_diffusion: Path, sd: Path, vqvae: Any, ldmlab: Command, tmp_path: Path) -> None:
    vqvae.save_pretrained(tmp_path / "vq")
    words = ["import", stable_diffusion / "unet", f"autoencoder_ckpt={tmp_path / 'vq'}", f"conditioner_ckpt={sd}"]
    refusal = ldmlab(*words, f"output={tmp_path / 'x.safetensors'}").refusal()
    assert "the parts do not fit each other" in refusal
    assert "'denoiser.backbone.into.weight' is (32, 4, 3, 3) in the file, (32, 3, 3, 3) in the model" in refusal
    assert not (tmp_path / "x.safetensors").exists()


class Harmful:
    """Leaves a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def spoil(folder: Path, how: str) -> Path:
    """A copy of a UNet's folder that is wrong in some way; what is to be imported of it."""
    weights = folder / "diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    name = "mid_block.resnets.0.time_emb_proj.weight"
    if how == "transposed":
        state[name] = state[name].T.contiguous()
    elif how == "missing":
        del state[name]
    elif how == "mark missing":
        del state["time_embedding.linear_1.weight"]
    elif how == "left over":
        state["mid_block.extra.weight"] = torch.zeros(2, 3)
    elif how == "truncated":
        weights.write_bytes(weights.read_bytes()[:-1000])
        return folder
    elif how == "pickle":
        weights.unlink()
        torch.save({**state, "x": Harmful(folder / "harm")}, folder / "diffusion_pytorch_model.bin")
        return folder
    elif how == "torn pickle":
        torch.save(state, folder / "unet.ckpt")
        (folder / "unet.ckpt").write_bytes((folder / "unet.ckpt").read_bytes()[:-1000])
        return folder / "unet.ckpt"
    elif how == "no model":
        weights.unlink()
        return folder
    elif how == "settings":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**config, "use_linear_projection": True}))
    elif how == "text file":
        return folder / "config.json"
    elif how == "foreign":
        state = {"a.weight": torch.zeros(1)}
    save_file(state, weights)
    return folder


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("transposed", "time_emb_proj.weight' is (128, 64) in the file and (64, 128) in the model (transposed)"),
        slow("missing", "lacks 'mid_block.resnets.0.time_emb_proj.weight' of shape (64, 128)"),
        slow("mark missing", "looks like a UNet as diffusers names it, and lacks 'time_embedding.linear_1.weight'"),
        ("left over", "'mid_block.extra.weight' of shape (2, 3) is left over"),
        slow("truncated", "this is no safetensors file, or it is cut off"),
        ("pickle", "refused, because reading it would run code or build objects other than tensors (getattr)"),
        slow("torn pickle", "this is no checkpoint of PyTorch, or it is cut off"),
        ("no model", "holds no model: neither a model_index.json nor weights named"),
        ("settings", "its config has use_linear_projection=True, which ldmlab's model lacks; only False"),
        slow("text file", "files ending in '.json' are no weights; give .safetensors"),
        ("foreign", "no layout that ldmlab knows has the keys 'a.weight'"),
    ],
)
def test_refused(how: str, told: str, stable_diffusion: Path, ldmlab: Command, tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    shutil.copytree(stable_diffusion / "unet", folder)
    refusal = ldmlab("import", spoil(folder, how), f"output={tmp_path / 'x.safetensors'}").refusal()
    assert told in refusal
    assert str(folder) in refusal
    assert not (tmp_path / "x.safetensors").exists()
    assert not (folder / "harm").exists()


def import_folder(folder: Path) -> None:
    source = read_public(folder)
    require_whole(assemble(source, *convert_parts(source, ImportHints()), ImportHints()), folder)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("model_index.json", {"unet": []}),
        ("model_index.json", {"unet": ["diffusers"]}),
        ("model_index.json", {"unet": [1, 2]}),
        ("model_index.json", {"../unet": ["diffusers", "UNet2DConditionModel"]}),
        ("model_index.json", {"unet": "${oc.env:HOME}"}),
        ("unet/config.json", {"sample_size": "64"}),
        slow("unet/config.json", {"sample_size": 10**9}),
        ("unet/config.json", {"sample_size": [16, 16]}),
        ("unet/config.json", {"attention_head_dim": 0}),
        ("unet/config.json", {"attention_head_dim": -8}),
        ("unet/config.json", {"attention_head_dim": [0, 8, 8]}),
        ("unet/config.json", {"attention_head_dim": {"a": 1}}),
        ("unet/config.json", {"attention_head_dim": [4, 8, 8], "block_out_channels": 5}),
        ("unet/config.json", {"norm_num_groups": [32]}),
        slow("vae/config.json", {"norm_num_groups": "16"}),
        ("vae/config.json", {"norm_num_groups": 7}),
        ("vae/config.json", {"scaling_factor": 0}),
        slow("vae/config.json", {"scaling_factor": "1"}),
        slow("vae/config.json", {"scaling_factor": float("nan")}),
        slow("text_encoder/config.json", {"num_attention_heads": 10**9}),
        ("text_encoder/config.json", {"hidden_act": ["gelu"]}),
        slow("scheduler/scheduler_config.json", {"num_train_timesteps": 10**9}),
        slow("scheduler/scheduler_config.json", {"num_train_timesteps": "1000"}),
        ("scheduler/scheduler_config.json", {"beta_start": float("nan")}),
        slow("scheduler/scheduler_config.json", {"beta_schedule": []}),
        slow("scheduler/scheduler_config.json", {"prediction_type": {}}),
        slow("scheduler/scheduler_config.json", {"rescale_betas_zero_snr": "yes"}),
        ("scheduler/scheduler_config.json", {"_class_name": "FlowMatchEulerDiscreteScheduler"}),
    ],
    ids=str,
)
def test_settings_that_make_no_sense(file: str, change: dict[str, Any], stable_diffusion: Path, tmp_path: Path) -> None:
    """In one line that names the file's folder, before any weights are read."""
    folder = tmp_path / "sd"
    shutil.copytree(stable_diffusion, folder, copy_function=os.link)
    content = json.loads((folder / file).read_text())
    (folder / file).unlink()
    (folder / file).write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=r"path=|do not fit each other|norm_groups") as raised:
        import_folder(folder)
    assert len(str(raised.value)) < 600


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, '{"a":' * 100_000, "5", "[]", '{"unet": NaN, "unet": 1}'])
def test_settings_that_are_no_json(text: str, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text(text)
    with pytest.raises(ValueError, match=r"path=.*model_index\.json: "):
        read_public(tmp_path)


def test_embedders_trained_apart(dit_folder: Path, ldmlab: Command, tmp_path: Path) -> None:
    """Each block of diffusers' DiT owns one; ours is one for all."""
    folder = tmp_path / "dit"
    shutil.copytree(dit_folder, folder)
    weights = folder / "transformer/diffusion_pytorch_model.safetensors"
    state = load_file(weights)
    name = "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"
    save_file({**state, name: state[name] + 0.1}, weights)
    refusal = ldmlab("import", folder).refusal()
    assert "class_embedder.embedding_table.weight' and those of the other blocks differ" in refusal


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["import"], "no value for path; give path=VALUE"),
        slow(["import", "/nowhere/x.safetensors"], "path=/nowhere/x.safetensors: no such file"),
        slow(["import", "a", "b"], "'b': one checkpoint at a time"),
        (["import", "a", "path=b"], "give a checkpoint both; keep one of the two"),
        (["import", "{sd}"], "is in ldmlab's format already"),
        slow(["import", "{stable_diffusion}", "output=x.bin"], "output=x.bin: give another file"),
        (["import", "{stable_diffusion}", "image_size=33"], "the autoencoder's factor 2 does not divide it"),
        slow(["import", "{stable_diffusion}", "heads=0"], "heads=0: input should be greater than or equal to 1"),
        (["import", "{stable_diffusion}", "heads=4"], "heads=4: path="),
        slow(["import", "{stable_diffusion}", "head_width=4"], "head_width=4: path="),
        slow(["import", "{stable_diffusion}", "latent_scale=1"], "says 0.18215 itself; leave latent_scale out"),
        slow(["import", "{stable_diffusion}", "quick_gelu=false"], "says True itself; leave quick_gelu out"),
        (["import", "{stable_diffusion}", "parameterization=velocity"], "says epsilon itself"),
        slow(
            ["import", "{stable_diffusion}", "parameterization=flow"], "group 'parameterization' has no option 'flow'"
        ),
        slow(["import", "{stable_diffusion}", "tokenizer=x"], "tokenizer=x: nothing in this import reads it"),
        slow(["import", "{stable_diffusion}/vae", "image_size=64"], "image_size=64: nothing in this import reads it"),
        slow(
            ["import", "{stable_diffusion}/vae", "parameterization=x0"], "parameterization=x0: nothing in this import"
        ),
        (["import", "{stable_diffusion}/vae", "autoencoder_ckpt={sd}"], "holds no backbone that would take it"),
        slow(["import", "{stable_diffusion}/vae", "conditioner_ckpt={sd}"], "holds no backbone that would take it"),
        slow(
            ["import", "{dit_folder}/transformer", "autoencoder_ckpt={sd}", "latent_scale=1"],
            "latent_scale=1: nothing in this import reads it",
        ),
        slow(
            ["import", "{dit_folder}/transformer", "autoencoder_ckpt={sd}", "head_width=8"],
            "head_width=8: nothing in this import reads it",
        ),
        slow(["export", "ckpt={sd}"], "no value for output"),
        (["export", "ckpt={sd}", "output={parent}"], "is there already; give a new folder"),
        (["export", "ckpt={sd}", "output=x", "format=onnx"], "format=onnx: input should be 'diffusers'"),
        (
            ["export", "ckpt=shapes/dit", "output={new}"],
            "format=diffusers: its DiT adds a class of its own",
        ),
        slow(
            ["export", "ckpt=shapes/unet", "output={new}"],
            "with TextTransformer, for which diffusers has no",
        ),
    ],
    ids=lambda value: " ".join(value[:3]) if isinstance(value, list) else "",
)
def test_mistakes_on_the_command_line(
    words: list[str], told: str, sd: Path, stable_diffusion: Path, dit_folder: Path, ldmlab: Command, tmp_path: Path
) -> None:
    paths = {"sd": sd, "parent": sd.parent, "stable_diffusion": stable_diffusion, "dit_folder": dit_folder}
    assert told in ldmlab(*(word.format(**paths, new=tmp_path / "x") for word in words)).refusal()
    assert not (tmp_path / "x").exists()
