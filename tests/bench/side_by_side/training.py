"""Training steps of class-conditional Diffusion Transformers on latents: loss, backward pass, fused AdamW."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import AdamW

from ldmlab.compiling import compile_networks
from ldmlab.precision import lay_out
from ldmlab.training.latent_diffusion import LatentDiffusionTraining
from side_by_side.bench import Bench
from side_by_side.clock import Call
from side_by_side.cost import dit_flops
from side_by_side.networks import CLASSES, latents, our_dit, their_dit
from side_by_side.passes import compile_blocks
from side_by_side.side import compare
from side_by_side.sizes import DiTSize

OPTIMIZER = partial(AdamW, lr=1e-4, weight_decay=0.0, fused=True)
DECAY = 0.9999


@dataclass
class Trainee:
    """One side.

    Attributes:
        loss: of a batch.
        parameters: that are trained.
        average: moves the averages of the weights.
        compile: makes programs of the network, in place.
        autocast: what the loss is computed in.
    """

    loss: Callable[[], Tensor]
    parameters: Iterable[nn.Parameter]
    average: Callable[[], object]
    compile: Callable[[], object]
    autocast: Callable[[], AbstractContextManager[object]]

    def eager(self) -> Call:
        """Loss, backward pass, optimizer."""
        optimizer = OPTIMIZER(list(self.parameters))

        def step() -> None:
            with self.autocast():
                loss = self.loss()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        return step

    def averaged(self) -> Call:
        """The same, and the averages of the weights."""
        step = self.eager()

        def and_average() -> None:
            step()
            self.average()

        return and_average

    def compiled(self) -> Call:
        """The same step, compiled from now on."""
        self.compile()
        return self.eager()


def section(bench: Bench) -> None:
    """The first network: eager, with averages of its weights, and compiled by block."""
    _compare(bench, *bench.sizes.training[0])


def others(bench: Bench) -> None:
    """The same of the other networks."""
    for size, batch in bench.sizes.training[1:]:
        _compare(bench, size, batch)


def _compare(bench: Bench, size: DiTSize, batch: int) -> None:
    ways = {
        "eager": Trainee.eager,
        "eager, with averages": Trainee.averaged,
        "compiled by block": Trainee.compiled,
    }
    compare(
        bench,
        "Training",
        f"{size.name}, batch {batch}",
        ways,
        partial(ours, bench, size, batch),
        partial(theirs, bench, size, batch),
        unit="images/s",
        pictures=batch,
        flops=3 * batch * dit_flops(size),
    )


def ours(bench: Bench, size: DiTSize, batch: int) -> Trainee:
    """The step of `LatentDiffusionTraining`: draws of noise, timesteps and dropped classes, and the hybrid loss."""
    module = LatentDiffusionTraining(our_dit(size), OPTIMIZER, ema_decay=DECAY).to(bench.device)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]  # there is no trainer
    lay_out(module, bench.precision)
    z, labels = _batch(bench, size, batch)
    inputs = {"moments": torch.cat([z, torch.zeros_like(z)], dim=1), "labels": labels}
    model = module.model
    return Trainee(
        loss=lambda: module.training_step(inputs, 0),
        parameters=[p for p in model.parameters() if p.requires_grad],
        average=module.ema.update,
        compile=lambda: compile_networks([model.denoiser.backbone], bench.backend),
        autocast=bench.precision.autocast,
    )


def theirs(bench: Bench, size: DiTSize, batch: int) -> Trainee:
    """A step as diffusers' training scripts make it; the network drops classes by itself."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    network = their_dit(size).to(bench.device).train()
    scheduler: Any = DDPMScheduler()
    averages = EMAModel(network.parameters(), decay=DECAY, foreach=True)
    z, labels = _batch(bench, size, batch)

    def loss() -> Tensor:
        noise = torch.randn_like(z)
        timesteps = torch.randint(0, len(scheduler), (batch,), device=z.device)
        noisy = scheduler.add_noise(z, noise, timesteps)
        predicted = network(noisy, timestep=timesteps, class_labels=labels).sample[:, :4]
        return F.mse_loss(predicted.float(), noise)

    return Trainee(
        loss=loss,
        parameters=list(network.parameters()),
        average=lambda: averages.step(network.parameters()),
        compile=lambda: compile_blocks(bench, network),
        autocast=bench.precision.autocast,
    )


def _batch(bench: Bench, size: DiTSize, batch: int) -> tuple[Tensor, Tensor]:
    return latents(batch, size.grid, bench.device), torch.randint(0, CLASSES, (batch,), device=bench.device)
