"""Passes of networks: Diffusion Transformers of classes, Stable Diffusion's UNet, the decoder of its autoencoder."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from ldmlab.compiling import compile_networks
from ldmlab.types import Conditioning
from side_by_side.bench import Bench
from side_by_side.networks import (
    CLASSES,
    latents,
    our_autoencoder,
    our_transformer,
    our_unet,
    their_autoencoder,
    their_dit,
    their_unet,
)
from side_by_side.side import Side, Way, compare
from side_by_side.sizes import DecoderSize, DiTSize, UNetSize

TRANSFORMER: dict[str, Way] = {"eager": Side.plain, "compiled by block": Side.compiled}
EAGER: dict[str, Way] = {"eager": Side.plain, "channels last": Side.channels_last}


def transformers(bench: Bench) -> None:
    """Diffusion Transformers, where drawing does not measure them."""
    for size, rows in bench.sizes.passes:
        dit(bench, size, rows)


def unets(bench: Bench) -> None:
    """The UNet by rows; compiled for the last of them alone, which takes a minute."""
    size, each = bench.sizes.unet
    for rows in each:
        unet(bench, size, rows, EAGER if rows != each[-1] else {**EAGER, "channels last, compiled": Side.compiled})


def decoders(bench: Bench) -> None:
    """The decoder, which a compiler would take longer for than it decodes."""
    decoder(bench, bench.sizes.decoder)


def dit(bench: Bench, size: DiTSize, rows: int) -> None:
    """One pass of a Diffusion Transformer."""
    x, times = latents(rows, size.grid, bench.device).to(bench.dtype), _times(bench, rows)
    labels = torch.randint(0, CLASSES, (rows,), device=bench.device)
    cond = Conditioning(vector=torch.randn(rows, size.width, device=bench.device, dtype=bench.dtype))

    def ours() -> Side:
        network = bench.ours(our_transformer(size))
        return Side(network, lambda: network(x, times, cond), lambda: compile_networks([network], bench.backend))

    def theirs() -> Side:
        network = bench.theirs(their_dit(size))
        call = partial(network, x, timestep=times, class_labels=labels)
        return Side(network, lambda: call().sample, lambda: compile_blocks(bench, network))

    compare(bench, "Passes", f"{size.name}, {rows} rows", _ways(bench, TRANSFORMER), ours, theirs)


def unet(bench: Bench, size: UNetSize, rows: int, ways: dict[str, Way]) -> None:
    """One pass of a UNet."""
    x, times = latents(rows, size.grid, bench.device).to(bench.dtype), _times(bench, rows)
    words = torch.randn(rows, *size.context, device=bench.device, dtype=bench.dtype)
    cond = Conditioning(context=words)

    def ours() -> Side:
        network = bench.ours(our_unet(size))
        return Side(network, lambda: network(x, times, cond), lambda: compile_networks([network], bench.backend))

    def theirs() -> Side:
        network = bench.theirs(their_unet(size))
        call = partial(network, x, times, encoder_hidden_states=words)
        return Side(network, lambda: call().sample, lambda: network.compile(backend=bench.backend))

    compare(bench, "Passes", f"{size.name}, {rows} rows", _ways(bench, ways), ours, theirs)


def decoder(bench: Bench, size: DecoderSize) -> None:
    """Latents to pictures."""
    z = latents(size.pictures, size.side // 2 ** (len(size.features) - 1), bench.device).to(bench.dtype)

    def ours() -> Side:
        network = bench.ours(our_autoencoder(size))
        return Side(
            network.decoder, lambda: network.decode(z), lambda: compile_networks([network.decoder], bench.backend)
        )

    def theirs() -> Side:
        network = bench.theirs(their_autoencoder(size))
        return Side(
            network.decoder, lambda: network.decode(z).sample, lambda: network.decoder.compile(backend=bench.backend)
        )

    work = f"{size.name}, {size.pictures} x {size.side} px"
    compare(bench, "Passes", work, _ways(bench, EAGER), ours, theirs)


def compile_blocks(bench: Bench, network: Any) -> None:
    """A Transformer of diffusers by block."""
    for block in network.transformer_blocks:
        block.compile(backend=bench.backend)


def _ways(bench: Bench, ways: dict[str, Way]) -> dict[str, Way]:
    return {**ways, "eager, training step": Side.step} if bench.sizes.steps else ways


def _times(bench: Bench, rows: int) -> Tensor:
    return torch.randint(0, 1000, (rows,), device=bench.device)
