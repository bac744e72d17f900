"""The UNet of CompVis' latent diffusion, written out on its tensors by their published names, against ours."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from ldmlab.types import Conditioning

Import = Callable[..., dict[str, Any]]
Error = Callable[[Tensor, Tensor], float]


@dataclass
class Original:
    """An UNetModel of latent diffusion: what its config says, its tensors by name, and the order in which they run."""

    channels: int = 4
    out_channels: int = 4
    features: int = 32
    multipliers: tuple[int, ...] = (1, 2)
    blocks: int = 2
    attention: tuple[int, ...] = (1, 2)
    heads: int = 4
    context: int | None = 24
    scale_shift: bool = False
    updown: bool = False
    state: dict[str, Tensor] = field(default_factory=dict)
    program: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.generator = torch.Generator().manual_seed(0)
        width = self.features
        self.weight("time_embed.0", 4 * width, width)
        self.weight("time_embed.2", 4 * width, 4 * width)
        self.add("input_blocks.0", "conv", 0, width, self.channels, 3, 3)
        skips, factor, number = [width], 1, 1
        for level, multiplier in enumerate(self.multipliers):
            for _ in range(self.blocks):
                self.residual(f"input_blocks.{number}", 0, width, multiplier * self.features)
                width = multiplier * self.features
                if factor in self.attention:
                    self.attend(f"input_blocks.{number}", 1, width)
                skips.append(width)
                number += 1
            if level < len(self.multipliers) - 1:
                self.resample(f"input_blocks.{number}", 0, width, "down")
                skips.append(width)
                number, factor = number + 1, 2 * factor
        self.residual("middle_block", 0, width, width)
        self.attend("middle_block", 1, width)
        self.residual("middle_block", 2, width, width)
        number = 0
        for level in reversed(range(len(self.multipliers))):
            for block in range(self.blocks + 1):
                self.residual(
                    f"output_blocks.{number}", 0, width + skips.pop(), self.multipliers[level] * self.features
                )
                width = self.multipliers[level] * self.features
                place = 1
                if factor in self.attention:
                    self.attend(f"output_blocks.{number}", 1, width)
                    place = 2
                if level and block == self.blocks:
                    self.resample(f"output_blocks.{number}", place, width, "up")
                    factor //= 2
                number += 1
        self.norm("out.0", width)
        self.weight("out.2", self.out_channels, width, 3, 3)

    def weight(self, name: str, *shape: int, bias: bool = True) -> None:
        spread = 0.6 / math.prod(shape[1:]) ** 0.5
        self.state[f"{name}.weight"] = spread * torch.randn(shape, generator=self.generator)
        if bias:
            self.state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=self.generator)

    def norm(self, name: str, width: int) -> None:
        self.weight(name, width, 1)
        self.state[f"{name}.weight"] = 1 + self.state[f"{name}.weight"][:, 0]

    def add(self, stage: str, kind: str, place: int, *shape: int) -> str:
        name = f"{stage}.{place}"
        self.program.setdefault(stage, []).append((kind, name))
        if shape:
            self.weight(name, *shape)
        return name

    def residual(self, stage: str, place: int, width: int, out: int, kind: str = "residual") -> None:
        name = self.add(stage, kind, place)
        self.norm(f"{name}.in_layers.0", width)
        self.weight(f"{name}.in_layers.2", out, width, 3, 3)
        self.weight(f"{name}.emb_layers.1", out * (1 + self.scale_shift), 4 * self.features)
        self.norm(f"{name}.out_layers.0", out)
        self.weight(f"{name}.out_layers.3", out, out, 3, 3)
        if width != out:
            self.weight(f"{name}.skip_connection", out, width, 1, 1)

    def resample(self, stage: str, place: int, width: int, direction: str) -> None:
        if self.updown:
            self.residual(stage, place, width, width, f"residual_{direction}")
        else:
            name = self.add(stage, direction, place)
            self.weight(f"{name}.{'op' if direction == 'down' else 'conv'}", width, width, 3, 3)

    def attend(self, stage: str, place: int, width: int) -> None:
        name = self.add(stage, "plain" if self.context is None else "transformer", place)
        self.norm(f"{name}.norm", width)
        if self.context is None:
            self.weight(f"{name}.qkv", 3 * width, width, 1)
            self.weight(f"{name}.proj_out", width, width, 1)
            return
        self.weight(f"{name}.proj_in", width, width, 1, 1)
        self.weight(f"{name}.proj_out", width, width, 1, 1)
        block = f"{name}.transformer_blocks.0"
        for number, source in ((1, width), (2, self.context)):
            self.norm(f"{block}.norm{number}", width)
            self.weight(f"{block}.attn{number}.to_q", width, width, bias=False)
            self.weight(f"{block}.attn{number}.to_k", width, source, bias=False)
            self.weight(f"{block}.attn{number}.to_v", width, source, bias=False)
            self.weight(f"{block}.attn{number}.to_out.0", width, width)
        self.norm(f"{block}.norm3", width)
        self.weight(f"{block}.ff.net.0.proj", 8 * width, width)
        self.weight(f"{block}.ff.net.2", width, 4 * width)

    def __call__(self, x: Tensor, timesteps: Tensor, context: Tensor | None) -> Tensor:
        """The network's output, in float64."""
        run = Run(self, context)
        half = self.features // 2
        angles = timesteps[:, None] * torch.exp(-math.log(10000) * torch.arange(half, dtype=torch.float64) / half)
        time = run.linear(torch.cat([angles.cos(), angles.sin()], dim=1), "time_embed.0")
        run.embedding = F.silu(run.linear(F.silu(time), "time_embed.2"))
        stages = iter(self.program.items())
        x, skips = x.double(), []
        for stage, layers in stages:
            if stage.startswith("output_blocks"):
                x = torch.cat([x, skips.pop()], dim=1)
            for kind, name in layers:
                x = getattr(run, kind)(x, name)
            if stage.startswith("input_blocks"):
                skips.append(x)
        return run.conv(F.silu(run.group_norm(x, "out.0")), "out.2")


class Run:
    """The layers, by kind."""

    embedding: Tensor

    def __init__(self, original: Original, context: Tensor | None) -> None:
        self.original = original
        self.w = {name: tensor.double() for name, tensor in original.state.items()}
        self.context = None if context is None else context.double()

    def linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.w[f"{name}.weight"], self.w.get(f"{name}.bias"))

    def conv(self, x: Tensor, name: str, stride: int = 1) -> Tensor:
        weight = self.w[f"{name}.weight"]
        return F.conv2d(x, weight, self.w[f"{name}.bias"], stride, padding=weight.shape[-1] // 2)

    def group_norm(self, x: Tensor, name: str, eps: float = 1e-5) -> Tensor:
        return F.group_norm(x, 32, self.w[f"{name}.weight"], self.w[f"{name}.bias"], eps)

    def layer_norm(self, x: Tensor, name: str) -> Tensor:
        return F.layer_norm(x, x.shape[-1:], self.w[f"{name}.weight"], self.w[f"{name}.bias"])

    def down(self, x: Tensor, name: str) -> Tensor:
        return self.conv(x, f"{name}.op", stride=2)

    def up(self, x: Tensor, name: str) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2), f"{name}.conv")

    def residual_down(self, x: Tensor, name: str) -> Tensor:
        return self.residual(x, name, lambda t: F.avg_pool2d(t, 2))

    def residual_up(self, x: Tensor, name: str) -> Tensor:
        return self.residual(x, name, lambda t: F.interpolate(t, scale_factor=2))

    def residual(self, x: Tensor, name: str, change: Callable[[Tensor], Tensor] = lambda t: t) -> Tensor:
        hidden = self.conv(change(F.silu(self.group_norm(x, f"{name}.in_layers.0"))), f"{name}.in_layers.2")
        embedded = self.linear(self.embedding, f"{name}.emb_layers.1")[:, :, None, None]
        if self.original.scale_shift:
            scale, shift = embedded.chunk(2, dim=1)
            hidden = self.group_norm(hidden, f"{name}.out_layers.0") * (1 + scale) + shift
        else:
            hidden = self.group_norm(hidden + embedded, f"{name}.out_layers.0")
        x = change(x)
        skip = self.conv(x, f"{name}.skip_connection") if f"{name}.skip_connection.weight" in self.w else x
        return skip + self.conv(F.silu(hidden), f"{name}.out_layers.3")

    def plain(self, x: Tensor, name: str) -> Tensor:
        """QKVAttentionLegacy: split into heads first, then into queries, keys and values."""
        flat = self.group_norm(x, f"{name}.norm").flatten(2)
        qkv = F.conv1d(flat, self.w[f"{name}.qkv.weight"], self.w[f"{name}.qkv.bias"])
        batch, width, length = qkv.shape
        each = width // (3 * self.original.heads)
        q, k, v = qkv.reshape(batch * self.original.heads, 3 * each, length).split(each, dim=1)
        probs = torch.einsum("bct,bcs->bts", q, k).div(each**0.5).softmax(-1)
        out = torch.einsum("bts,bcs->bct", probs, v).reshape(batch, -1, length)
        return x + F.conv1d(out, self.w[f"{name}.proj_out.weight"], self.w[f"{name}.proj_out.bias"]).view_as(x)

    def transformer(self, x: Tensor, name: str) -> Tensor:
        tokens = self.conv(self.group_norm(x, f"{name}.norm", 1e-6), f"{name}.proj_in").flatten(2).mT
        block = f"{name}.transformer_blocks.0"
        tokens = tokens + self.attention(self.layer_norm(tokens, f"{block}.norm1"), f"{block}.attn1", None)
        tokens = tokens + self.attention(self.layer_norm(tokens, f"{block}.norm2"), f"{block}.attn2", self.context)
        value, gate = self.linear(self.layer_norm(tokens, f"{block}.norm3"), f"{block}.ff.net.0.proj").chunk(2, dim=-1)
        tokens = tokens + self.linear(value * F.gelu(gate), f"{block}.ff.net.2")
        return x + self.conv(tokens.mT.reshape(x.shape), f"{name}.proj_out")

    def attention(self, x: Tensor, name: str, context: Tensor | None) -> Tensor:
        source = x if context is None else context
        inputs = {"to_q": x, "to_k": source, "to_v": source}
        q, k, v = (
            self.linear(t, f"{name}.{layer}").unflatten(-1, (self.original.heads, -1)).transpose(1, 2)
            for layer, t in inputs.items()
        )
        probs = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1)
        return self.linear((probs @ v).transpose(1, 2).flatten(2), f"{name}.to_out.0")


ORIGINALS = {
    "stable diffusion": {},
    "class-conditional": {"multipliers": (1, 2, 3), "attention": (2, 4), "heads": 1, "context": 16},
    "faces": {"multipliers": (1, 2, 2), "attention": (2,), "context": None},
    "churches": {"context": None, "scale_shift": True, "updown": True, "blocks": 1},
    "inpainting": {"channels": 7, "out_channels": 3, "context": None, "attention": (2,), "updown": True},
    "super-resolution": {
        "channels": 6,
        "out_channels": 3,
        "multipliers": (1, 1, 2),
        "attention": (8, 16),
        "context": None,
    },
    "one resolution": {"multipliers": (2,), "attention": (1,)},
}


def cases() -> Iterator[Any]:
    for name, changes in ORIGINALS.items():
        yield pytest.param(changes, id=name)


@pytest.mark.parametrize("changes", cases())
def test_output(changes: dict[str, Any], imported: Import, relative_error: Error, tmp_path: Path) -> None:
    original = Original(**changes)
    save_file(original.state, tmp_path / "unet.safetensors")
    ours = imported(tmp_path / "unet.safetensors", heads=original.heads)["backbone"]
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, original.channels, 8, 8, generator=generator)
    context = None if original.context is None else torch.randn(2, 5, original.context, generator=generator)
    concat = x[:, original.out_channels :] if original.channels > original.out_channels else None
    timesteps = torch.tensor([1, 800])
    with torch.no_grad():
        got = ours(x[:, : original.out_channels], timesteps, Conditioning(context=context, concat=concat))
    assert relative_error(got.double(), original(x, timesteps, context)) < 1e-5


def test_heads_are_asked_for(imported: Import, tmp_path: Path) -> None:
    save_file(Original().state, tmp_path / "unet.safetensors")
    with pytest.raises(ValueError, match="UNet of 32 features with a context of 24 splits its attention; give heads=8"):
        imported(tmp_path / "unet.safetensors")
