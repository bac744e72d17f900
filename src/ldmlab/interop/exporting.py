"""From a model of ours to the folder of files that diffusers loads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.clip import CLIPText, FrozenCLIP
from ldmlab.conditioners.image import ImageConditioner
from ldmlab.interop import diffusers_configs as configs
from ldmlab.interop.autoencoder_layouts import KL_DIFFUSERS, VQ_DIFFUSERS
from ldmlab.interop.clip_layouts import CLIP_TRANSFORMERS
from ldmlab.interop.dit_layouts import DIT_DIFFUSERS
from ldmlab.interop.family import Component, Family
from ldmlab.interop.image_condition import text_inside
from ldmlab.interop.latent_scale import scale_of
from ldmlab.interop.mapping import to_public
from ldmlab.interop.process_sections import to_scheduler
from ldmlab.interop.unet_layouts import UNET_DIFFUSERS
from ldmlab.models.latent_diffusion import LatentDiffusion

WEIGHTS, TEXT_WEIGHTS = "diffusion_pytorch_model.safetensors", "model.safetensors"
Files = dict[str, Any]
"""By relative path: settings for .json, text for .txt, tensors by name for .safetensors."""
Sections = Mapping[str, Any]


def export_autoencoder(config: Sections, state: Mapping[str, Tensor]) -> Files:
    """The files, by path, of a diffusers folder with an AutoencoderKL or a VQModel.

    Args:
        config: of a checkpoint, with `autoencoder` and `image_size`.
        state: the weights, with "autoencoder." before their names.

    Raises:
        ValueError: diffusers has no such autoencoder.
    """
    kinds: dict[str, tuple[type[nn.Module], Family]] = {
        "AutoencoderKL": (AutoencoderKL, KL_DIFFUSERS),
        "AutoencoderVQ": (AutoencoderVQ, VQ_DIFFUSERS),
    }
    name = _class_name(config["autoencoder"])
    if name not in kinds:
        raise ValueError(f"format=diffusers: diffusers has no autoencoder like {name}")
    kind, family = kinds[name]
    component = Component(kind, _settings(config["autoencoder"]))
    scale, folded = scale_of(state, can_fold=kind is AutoencoderKL)
    settings = configs.autoencoder_config(component, family.model, scale, config["image_size"])
    weights = _weights(family, {"autoencoder": component}, {**state, **folded})
    return {"config.json": settings, WEIGHTS: weights}


def export_model(config: Sections, state: Mapping[str, Tensor], model: LatentDiffusion) -> Files:
    """The files, by path, of a diffusers folder with a StableDiffusionPipeline or a DiTPipeline.

    Args:
        config: of a checkpoint.
        state: its weights.
        model: built from the config; for its widths alone, not its weights.

    Raises:
        ValueError: diffusers has no class for a part.
    """
    if not isinstance(model.autoencoder, AutoencoderKL):
        raise ValueError("format=diffusers: its pipelines decode with AutoencoderKL, and this model has a codebook")
    backbone = _backbone(config, model)
    conditioner = model.conditioner
    if isinstance(conditioner, ImageConditioner):
        conditioner, (config, state) = conditioner.text, text_inside(config, state)
    weights = _inner(state, {"denoiser.backbone.": "backbone.", "conditioner.": "conditioner."})
    if isinstance(model.denoiser.backbone, UNet):
        files, index = _stable_diffusion(config, backbone, weights, conditioner)
    elif isinstance(model.denoiser.backbone, DiT):
        files, index = _dit(config, backbone, weights, conditioner)
    else:
        raise ValueError(f"format=diffusers: diffusers has no class for a {_class_name(config['backbone'])}")
    prediction = _class_name(config["parameterization"])
    scheduler = to_scheduler(model.denoiser.schedule, config["schedule"], prediction)
    files |= _in("vae", export_autoencoder(config, state))
    return {**files, "scheduler/scheduler_config.json": scheduler, "model_index.json": index}


def _stable_diffusion(
    config: Sections, unet: Component, weights: Mapping[str, Tensor], conditioner: Conditioner
) -> tuple[Files, dict[str, Any]]:
    if not isinstance(conditioner, CLIPText):
        kind = _class_name(config["conditioner"])
        raise ValueError(
            f"format=diffusers: its Stable Diffusion pipeline reads prompts with CLIP's text encoder, and this model "
            f"with {kind}, for which diffusers has no class"
        )
    text = _clip(config, conditioner)
    files = _in(
        "unet",
        {"config.json": configs.unet_config(unet), WEIGHTS: _weights(UNET_DIFFUSERS, {"backbone": unet}, weights)},
    )
    encoder = _weights(CLIP_TRANSFORMERS, {"conditioner": text}, weights)
    files |= _in("text_encoder", {"config.json": configs.clip_config(text), TEXT_WEIGHTS: encoder})
    files |= _in("tokenizer", configs.tokenizer_files(conditioner))
    inpaints = unet.setting("concat_channels") > 0
    index = configs.pipeline_index(
        "StableDiffusionInpaintPipeline" if inpaints else "StableDiffusionPipeline",
        {
            "vae": ("diffusers", "AutoencoderKL"),
            "text_encoder": ("transformers", "CLIPTextModel"),
            "tokenizer": ("transformers", "CLIPTokenizer"),
            "unet": ("diffusers", "UNet2DConditionModel"),
            "scheduler": ("diffusers", "DDIMScheduler"),
        },
    )
    absent = {name: [None, None] for name in ("safety_checker", "feature_extractor", "image_encoder")}
    return files, {**index, **absent, "requires_safety_checker": False}


def _dit(
    config: Sections, dit: Component, weights: Mapping[str, Tensor], conditioner: Conditioner
) -> tuple[Files, dict[str, Any]]:
    if not isinstance(conditioner, ClassLabel) or conditioner.vector_width != dit.setting("width"):
        kind = _class_name(config["conditioner"])
        raise ValueError(
            f"format=diffusers: its DiT adds a class of its own width to the time, and this model reads {kind}"
        )
    classes = Component(ClassLabel, _settings(config["conditioner"]))
    settings = configs.dit_config(dit, conditioner.classes)
    tensors = _weights(DIT_DIFFUSERS, {"backbone": dit, "conditioner": classes}, weights)
    index = configs.pipeline_index(
        "DiTPipeline",
        {
            "transformer": ("diffusers", "DiTTransformer2DModel"),
            "vae": ("diffusers", "AutoencoderKL"),
            "scheduler": ("diffusers", "DDIMScheduler"),
        },
    )
    labels = {str(number): str(number) for number in range(conditioner.classes)}
    return _in("transformer", {"config.json": settings, WEIGHTS: tensors}), {**index, "id2label": labels}


def _backbone(config: Sections, model: LatentDiffusion) -> Component:
    channels, grid = model.latent_shape[:2]
    widths = {
        "channels": channels,
        "grid": grid,
        "context_width": model.conditioner.context_width,
        "vector_width": model.conditioner.vector_width,
        "out_channels": (1 + model.denoiser.learns_variance) * channels,
    }
    settings = _settings(config["backbone"])
    if model.conditioner.concat_channels:
        settings = {**settings, "concat_channels": model.conditioner.concat_channels}
    return Component(type(model.denoiser.backbone), settings, widths)


def _clip(config: Sections, conditioner: CLIPText) -> Component:
    """The sizes of a text encoder, also of one that is known by open_clip's name."""
    if not isinstance(conditioner, FrozenCLIP):
        return Component(CLIPText, _settings(config["conditioner"]))
    return Component(CLIPText, conditioner.sizes)


def _weights(family: Family, parts: Mapping[str, Component], state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A layout's tensors, each with memory of its own as safetensors wants it."""
    public: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in to_public(family.table(parts), state).items():
        public[name] = tensor.clone() if tensor.data_ptr() in seen else tensor.contiguous()
        seen.add(tensor.data_ptr())
    return public


def _class_name(section: Sections) -> str:
    return str(section["_target_"]).rpartition(".")[2]


def _settings(section: Sections) -> dict[str, Any]:
    return {key: value for key, value in section.items() if key != "_target_"}


def _inner(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """The tensors of some parts, with another prefix."""
    return {
        short + name.removeprefix(long): value
        for long, short in prefixes.items()
        for name, value in state.items()
        if name.startswith(long)
    }


def _in(folder: str, files: Files) -> Files:
    return {f"{folder}/{name}": content for name, content in files.items()}
