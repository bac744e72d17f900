"""A training step and a step of a sampler copy nothing between host and device, and wait for no device. By glob.

Losses and samplers run on fake tensors of device "cuda"; steps with a backward pass, which PyTorch has for a real GPU
alone, run on the meta device.
"""

from __future__ import annotations

import importlib
import inspect
import io
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lightning as L
import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from rich.console import Console
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader

import ldmlab
from ldmlab.autoencoders.discriminator import PatchDiscriminator
from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.autoencoders.reconstruction import ReconstructionLoss
from ldmlab.autoencoders.vq import AutoencoderVQ
from ldmlab.backbones.dit import DiT
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.base import Conditioner
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.clip import CLIPText
from ldmlab.conditioners.colorization import Colorization
from ldmlab.conditioners.inpainting import Inpainting
from ldmlab.conditioners.none import NoCondition
from ldmlab.conditioners.super_resolution import SuperResolution
from ldmlab.conditioners.text import TextTransformer
from ldmlab.configs import catalogue
from ldmlab.diffusion.denoiser import Denoiser
from ldmlab.diffusion.objectives import Hybrid, Objective
from ldmlab.diffusion.parameterizations import Epsilon, PosteriorMean
from ldmlab.diffusion.schedules import scaled_linear
from ldmlab.diffusion.tables import LevelTable
from ldmlab.editing.prompts.prompt_edit import EditSettings, PromptEdit
from ldmlab.editing.prompts.prompt_to_prompt_control import PromptToPromptControl
from ldmlab.editing.regions.blended import BlendedSampler
from ldmlab.editing.regions.windows import windowed, windows_over
from ldmlab.guidance.autoguidance import Autoguidance
from ldmlab.guidance.base import Guidance
from ldmlab.guidance.observed import observed
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.pace import Pace
from ldmlab.precision import Precision, half_weights, lay_out
from ldmlab.samplers.base import SamplerHooks
from ldmlab.samplers.ddim import DDIM
from ldmlab.samplers.ddpm import DDPM
from ldmlab.samplers.noise import AHEAD, PictureNoise
from ldmlab.training.autoencoder import AutoencoderTraining
from ldmlab.training.callbacks import progress
from ldmlab.training.callbacks.cost import Cost
from ldmlab.training.callbacks.going_on import GoingOn
from ldmlab.training.callbacks.last import LastCheckpoint
from ldmlab.training.callbacks.progress import ProgressLine, ProgressLines
from ldmlab.training.callbacks.rng import RngState
from ldmlab.training.csv_log import csv_logger
from ldmlab.training.ema import EMA
from ldmlab.training.failures import LossWatch
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from ldmlab.types import Conditioning, Uncontrolled

from .copies import WAITS, Copies, fake_gpu
from .options import section_of

WIDTHS: dict[str, Any] = {"channels": 4, "grid": 8, "context_width": 6, "vector_width": 10}
OPTIMIZER = partial(torch.optim.AdamW, lr=1e-3)


class Linear(nn.Module):
    """A network of one weight, which is quick."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.repeats = outputs // 4

    def forward(self, x: Tensor, timesteps: Tensor, cond: Conditioning, control: Any = None) -> Tensor:
        return (self.weight * x).repeat(1, self.repeats, 1, 1) + timesteps.view(-1, 1, 1, 1)


def dit(outputs: int) -> nn.Module:
    return DiT(width=32, depth=1, heads=2, out_channels=outputs, **WIDTHS)


def unet(outputs: int) -> nn.Module:
    return UNet(model_channels=32, multipliers=(1, 2), residual_blocks=1, out_channels=outputs, **WIDTHS)


def conditions(device: str) -> Conditioning:
    cond = Conditioning(torch.ones(2, 3, 6), torch.ones(2, 3, dtype=torch.bool), torch.ones(2, 10))
    return cond.map(lambda field: field.to(device))


def denoiser(
    parameterization: str = "epsilon", objective: str = "hybrid", network: Callable[[int], nn.Module] = Linear
) -> Denoiser:
    config = OmegaConf.create({"schedule": section_of("schedule", "scaled_linear")})
    config.parameterization = section_of("parameterization", parameterization)
    aim: Objective = instantiate(section_of("objective", objective))
    outputs = 8 if aim.learns_variance else 4
    return Denoiser(network(outputs), instantiate(config.schedule), instantiate(config.parameterization), aim)


def test_copies_and_waits_are_seen() -> None:
    """With what a loss did once: levels from the CPU, and a question to the device."""
    with fake_gpu(), Copies() as copies:
        x = torch.zeros(3, device="cuda")
        x * torch.tensor(2.0, dtype=torch.float64)
        x.to(torch.float64)
        assert copies.seen == []
        x + torch.ones(3).to(x)
        x.cpu()
        with pytest.raises(Exception, match="_local_scalar_dense"):
            bool(torch.isfinite(x).all())
        with pytest.raises(Exception, match="nonzero"):
            x[x > 0]
    assert [each.split()[0] for each in copies.seen] == ["_to_copy", "_to_copy", "_local_scalar_dense", "index"]


def test_tables_of_a_model_that_is_cast_or_moved_again() -> None:
    table = LevelTable(scaled_linear())
    with fake_gpu():
        table.to("cuda")
        with Copies() as copies:
            table.to(torch.bfloat16).to("cuda").to(memory_format=torch.channels_last)
            table.level(torch.zeros(2, dtype=torch.long, device="cuda"))
    assert copies.seen == []


def test_a_first_loss_around_a_network_that_is_on_the_gpu_already() -> None:
    with fake_gpu(), torch.device("cuda"):
        network = Linear(8)
    model = Denoiser(network, scaled_linear(), PosteriorMean(scaled_linear()), Hybrid())
    with fake_gpu(), Copies() as copies:
        x, timesteps = torch.ones(2, 4, 8, 8, device="cuda"), torch.zeros(2, dtype=torch.long, device="cuda")
        model.loss(x, x, timesteps, Conditioning())
    assert copies.seen == []


LOSSES = [(Linear, *each) for each in product(catalogue.options("parameterization"), catalogue.options("objective"))]


@pytest.mark.parametrize(
    ("network", "parameterization", "objective"),
    [
        *LOSSES,
        (dit, "epsilon", "hybrid"),
        pytest.param(unet, "velocity", "hybrid", marks=pytest.mark.slow),  # a run of it is below
    ],
)
def test_a_loss(network: Callable[[int], nn.Module], parameterization: str, objective: str) -> None:
    model = denoiser(parameterization, objective, network)
    with fake_gpu():
        model.to("cuda")
        latents, noise = torch.randn(2, 2, 4, 8, 8, device="cuda")
        cond, timesteps = conditions("cuda"), torch.randint(1000, (2,), device="cuda")
        with Copies() as copies:
            losses = model.loss(latents, noise, timesteps, cond)
    assert (losses.shape, losses.device.type) == ((2,), "cuda")
    assert copies.seen == []


def guidance(name: str) -> Guidance:
    if name == "autoguidance":
        return Autoguidance(2.0, denoiser(), lambda batch: conditions("cuda"))
    made: Guidance = instantiate(section_of("guidance", name))
    return made


RUNS = [
    pytest.param(how, name, marks=[] if how == "classifier_free" or name == "ddim" else pytest.mark.slow)
    for how, name in product(catalogue.options("guidance"), catalogue.options("sampler"))
]
"""Each guidance with DDIM and each sampler with classifier-free guidance; the others are slow tests."""


@pytest.mark.parametrize(("how", "name"), RUNS)
def test_a_run_of_a_sampler(how: str, name: str) -> None:
    sampler = instantiate(section_of("sampler", name), steps=3)
    model, method = denoiser("posterior_mean" if name == "ddim" else "epsilon"), guidance(how)
    levels = sampler.levels(model.schedule)
    with fake_gpu():
        for module in (model, method):
            if isinstance(module, nn.Module):
                module.to("cuda")
        denoise = method.bind(model, conditions("cuda"), conditions("cuda"))
        noise = torch.randn(2, 4, 8, 8, device="cuda")
        with Copies() as copies:
            out = sampler.sample(denoise, noise, levels)
    assert out.device.type == "cuda"
    assert copies.seen == []


@pytest.mark.parametrize("network", [dit, unet])
def test_a_run_of_networks_in_halves(network: Callable[[int], nn.Module]) -> None:
    model, sampler = denoiser(network=network), DDIM(2)
    precision = Precision("bf16", torch.device("cuda"))
    half_weights(model, precision.dtype)
    lay_out(model, precision)
    levels = sampler.levels(model.schedule)
    with fake_gpu():
        model.to("cuda")
        cond, noise = conditions("cuda"), torch.randn(2, 4, 8, 8, device="cuda")
        denoise = guidance("classifier_free").bind(model, cond, cond)
        with Copies() as copies, precision.running(model.backbone):
            out = sampler.sample(denoise, noise, levels)
    assert (out.dtype, copies.seen) == (torch.float32, [])


@pytest.mark.parametrize("sampler", [DDIM(3, eta=1.0), DDPM(3, variance="learned"), DDPM(3, variance="fixed_large")])
def test_a_run_of_a_masked_sampler_on_a_canvas_while_somebody_looks_on(sampler: Any) -> None:
    model = denoiser().to("meta")
    cond, levels = conditions("meta"), sampler.levels(model.schedule)
    denoise = observed(guidance("classifier_free").bind(model, cond, cond), model, cond, Uncontrolled())
    canvas, inside = torch.randn(2, 4, 8, 12, device="meta"), torch.ones(1, 1, 8, 12, device="meta").bool()
    method = BlendedSampler(sampler, canvas[:1], inside, resample=2, jump=2)
    with Copies() as copies:
        method.sample(windowed(denoise, windows_over((8, 12), (8, 8))), canvas, levels)
    assert copies.seen == []


def test_an_edit_copies_its_tables_once() -> None:
    """With DDIM in four steps, under prompt-to-prompt with a blend: the mapping, and which words may change."""
    text = MAKE["TextTransformer"]()
    text.prepare(["a red star", "a blue star"])
    words, settings = (text.words(prompt) for prompt in ("a red star", "a blue star")), EditSettings(blend=())
    control = PromptToPromptControl([PromptEdit.between(*words, 4, settings)], settings)
    network = DiT(4, 8, patch=2, width=32, depth=1, heads=2, context_width=16, vector_width=16)
    model, sampler, seen = Denoiser(network, scaled_linear(), Epsilon()), DDIM(4), []
    levels = sampler.levels(model.schedule)
    with fake_gpu():
        model.to("cuda")
        cond = Conditioning(torch.ones(2, 8, 16, device="cuda"), vector=torch.ones(2, 16, device="cuda"))
        denoise = guidance("classifier_free").bind(model, cond, cond, control)
        with Copies() as copies:

            def after_step(step: int, x: Tensor) -> Tensor:
                seen.append(len(copies.seen))
                return control.after_step(step, x)

            hooks = SamplerHooks(control.before_step, after_step)
            sampler.sample(denoise, torch.randn(2, 4, 8, 8, device="cuda"), levels, hooks)
    assert control.touched_words
    assert seen == [5, 5, 5, 5]


def test_noise_comes_in_blocks() -> None:
    with fake_gpu():
        noise = PictureNoise([1, 2], (4, 8, 8), "cuda")
        with Copies() as copies:
            for _ in range(1 + 2 * AHEAD):
                assert noise.like(torch.empty(0, device="cuda")).shape == (2, 4, 8, 8)
    assert len(copies.seen) == 3


MAKE: dict[str, Callable[[], Conditioner]] = {
    "TextTransformer": partial(TextTransformer, vocabulary=300, length=8, width=16, depth=1, heads=2),
    "ClassLabel": partial(ClassLabel, 5, 16),
    "CLIPText": partial(CLIPText, width=16, depth=1, heads=2, pooled=True),
    "NoCondition": NoCondition,
    "Inpainting": lambda: Inpainting(text=ClassLabel(5, 16)),
    "SuperResolution": SuperResolution,
    "Colorization": Colorization,
}
ABOVE = {"FrozenCLIP": "CLIPText"}
"""Classes that differ by where their weights come from."""


def conditioners() -> list[str]:
    found = []
    for path in sorted((Path(ldmlab.__file__).parent / "conditioners").glob("*.py")):
        module = importlib.import_module(f"ldmlab.conditioners.{path.stem}".removesuffix(".__init__"))
        own = [c for _, c in inspect.getmembers(module, inspect.isclass) if c.__module__ == module.__name__]
        found += [c.__name__ for c in own if issubclass(c, Conditioner) and not inspect.isabstract(c)]
    return found


class Alone:
    """What a module asks of its trainer in a step."""

    def __init__(self, module: Any) -> None:
        self.global_step = self.global_rank = 0
        self.world_size = 1
        self.fit_loop = None
        self.lr_scheduler_configs: list[Any] = []
        self.current_epoch, self.is_last_batch = 0, False
        self.precision_plugin = SimpleNamespace(
            scaler=None, optimizer_step=lambda optimizer, *_, **__: optimizer.step()
        )
        module._trainer = self
        module.log = module.log_dict = lambda *_, **__: None
        module.manual_backward = lambda loss: loss.backward()


def diffusion_training(conditioner: Conditioner) -> LatentDiffusionTraining:
    autoencoder = AutoencoderKL(channels=8, multipliers=(1,), residual_blocks=1, norm_groups=4, patch=4)
    conditioner.place(autoencoder, 4)
    conditioner.prepare(["a red star"])
    widths: dict[str, Any] = {"context_width": conditioner.context_width, "vector_width": conditioner.vector_width}
    network = DiT(
        4, 4, patch=2, width=16, depth=1, heads=2, out_channels=8, **widths, concat_channels=conditioner.concat_channels
    )
    model = LatentDiffusion(autoencoder, Denoiser(network, scaled_linear(), Epsilon(), Hybrid()), conditioner, 4)
    return LatentDiffusionTraining(model, OPTIMIZER, condition_dropout=0.5)


def batch(module: Any) -> dict[str, Any]:
    """What reaches a device."""
    data = {"images": torch.zeros(2, 3, 16, 16), "captions": ["a red star", ""], "labels": [0, 4]}
    return module.on_before_batch_transfer(data, 0)


def moved(batch: dict[str, Any], device: str) -> dict[str, Any]:
    return {key: value.to(device) if isinstance(value, Tensor) else value for key, value in batch.items()}


@pytest.mark.parametrize("name", sorted({ABOVE.get(name, name) for name in conditioners()}))
def test_the_loss_of_a_training_step(name: str) -> None:
    module = diffusion_training(MAKE[name]())
    Alone(module)
    on_host = batch(module)
    with fake_gpu():
        module.to("cuda")
        on_device = moved(on_host, "cuda")
        with Copies() as copies:
            module.training_step(on_device, 0)
            module.ema.update()
    assert copies.seen == []


def diffusion_step(module: LatentDiffusionTraining, optimizer: torch.optim.Optimizer, batch: dict[str, Any]) -> None:
    optimizer.zero_grad()
    module.training_step(batch, 0).backward()
    module.on_before_optimizer_step(optimizer)
    optimizer.step()
    module.ema.update()


def test_a_whole_step_of_diffusion() -> None:
    module = diffusion_training(MAKE["TextTransformer"]()).to("meta")
    Alone(module)
    module.ema = EMA(module.model.named_parameters())  # a move to meta, unlike others, makes new parameters
    [optimizer], on_device = module.new_optimizers(), moved(batch(module), "meta")
    with Copies() as copies:
        for _ in range(2):
            diffusion_step(module, optimizer, on_device)
    assert copies.seen == []


class Asked(TorchDispatchMode):
    """Counts what the host asks of tensors, on the CPU, too."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket.__name__ in WAITS
        return func(*args, **(kwargs or {}))


class Steps(L.Callback):
    """Notes how often tensors were asked by the end of each step."""

    def __init__(self, asked: Asked) -> None:
        self.asked, self.counts = asked, [0]

    def on_train_batch_end(self, *_: Any) -> None:
        self.counts.append(self.asked.count)


@pytest.mark.parametrize("bar", [ProgressLine(Console(file=io.StringIO(), force_terminal=True)), ProgressLines()])
def test_the_loop_and_its_callbacks_ask_nothing_between_rows(
    bar: L.Callback, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With rows every four steps. SGD, since on a CPU Adam's own count of steps is asked; on a GPU it lies beside."""
    monkeypatch.setattr(LossWatch, "note", lambda *_: None)
    monkeypatch.setattr(progress, "REFRESH", 1e9)
    monkeypatch.setattr(Pace, "is_due", lambda _: False)
    module = diffusion_training(MAKE["TextTransformer"]())
    module.make_optimizer = partial(torch.optim.SGD, lr=1e-3)
    asked = Asked()
    counted = Steps(asked)
    trainer = L.Trainer(
        accelerator="cpu",
        max_steps=11,
        log_every_n_steps=4,
        gradient_clip_val=1.0,
        logger=csv_logger(str(tmp_path)),
        default_root_dir=tmp_path,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[RngState(), Cost(), bar, LastCheckpoint(100, tmp_path / "a.ckpt"), GoingOn(), counted],
    )
    data = {"images": torch.zeros(2, 3, 16, 16), "captions": ["a red star", ""]}
    with asked:
        trainer.fit(module, DataLoader([data] * 11, batch_size=None))
    asks = [after - before for before, after in pairwise(counted.counts)]
    on_host = 3  # figures of the cost, which are none of the device's
    assert [asks[step] for step in (1, 2, 5, 6)] == [0, 0, on_host, on_host]


@pytest.mark.gpu
def test_a_real_gpu_is_never_waited_for() -> None:
    """It says so itself. The first time, kernels are loaded and tables made."""
    module = diffusion_training(MAKE["TextTransformer"]()).to("cuda")
    Alone(module)
    [optimizer], on_device = module.new_optimizers(), moved(batch(module), "cuda")
    model, sampler = denoiser().to("cuda"), DDPM(3, variance="learned")
    cond, levels = conditions("cuda"), sampler.levels(model.schedule)
    denoise, noise = guidance("rescaled").bind(model, cond, cond), torch.randn(2, 4, 8, 8, device="cuda")
    try:
        for mode in ("default", "error"):
            torch.cuda.set_sync_debug_mode(mode)
            diffusion_step(module, optimizer, on_device)
            sampler.sample(denoise, noise, levels)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", ["kl", "vq"])
def test_a_whole_step_of_an_autoencoder_and_its_discriminator(kind: str) -> None:
    common: dict[str, Any] = {"channels": 8, "multipliers": (1,), "residual_blocks": 1, "norm_groups": 4, "patch": 4}
    autoencoder = AutoencoderKL(**common) if kind == "kl" else AutoencoderVQ(**common, codes=8, restart_after=1)
    discriminator = PatchDiscriminator(channels=4, layers=1)
    module = AutoencoderTraining(
        autoencoder, ReconstructionLoss(), discriminator, OPTIMIZER, discriminator_start=0, gradient_clip=1.0
    ).to("meta")
    Alone(module)
    optimizers = module.new_optimizers()
    module._optimizers = lambda use_pl_optimizer=True: optimizers  # type: ignore[method-assign]
    module._scheduler = lambda: SimpleNamespace(step=lambda: None)  # type: ignore[method-assign]
    images = torch.zeros(2, 3, 16, 16, device="meta")
    with Copies() as copies:
        for step in range(2):
            module.training_step({"images": images}, step)
            module.on_before_optimizer_step(optimizers[0])
    assert copies.seen == []
