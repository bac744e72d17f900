"""How diffusers and CompVis name the layers of an autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from ldmlab.interop.mapping import Rules

BRANCH: Rules = (
    (r"branch\.0\.", "norm1."),
    (r"branch\.2\.", "conv1."),
    (r"branch\.3\.", "norm2."),
    (r"branch\.5\.", "conv2."),
)


@dataclass(frozen=True)
class LayerNames:
    """How a layout calls the layers of an encoder or decoder, of which resolution i counts from the image down.

    Attributes:
        resolution: (i, levels) -> the prefix of a resolution.
        block: of the residual blocks in it, before their number.
        attention: of the attentions in it, before their number.
        resample: of the change of resolution after it.
        middle: block, attention, block.
        norm: the last one.
        inner: rules inside a residual block or an attention.
    """

    resolution: Callable[[int, int], str]
    block: str
    attention: str
    resample: str
    middle: tuple[str, str, str]
    norm: str
    inner: Rules

    def encoder(self, levels: int, blocks: int, attends: list[int]) -> Iterator[str]:
        """The names of the encoder's layers that have weights, from the image down.

        Args:
            levels: resolutions.
            blocks: residual blocks a resolution.
            attends: resolutions with attention.
        """
        yield "conv_in"
        for i in range(levels):
            yield from self._resolution(i, levels, blocks, i in attends, i < levels - 1)
        yield from (*self.middle, self.norm, "conv_out")

    def decoder(self, levels: int, blocks: int, attends: list[int]) -> Iterator[str]:
        """The names of the decoder's layers that have weights, in order, but for the last convolution.

        Args:
            levels: resolutions.
            blocks: residual blocks a resolution.
            attends: resolutions with attention.
        """
        yield from ("conv_in", *self.middle)
        for i in reversed(range(levels)):
            yield from self._resolution(i, levels, blocks + 1, i in attends, i > 0)
        yield self.norm

    def _resolution(self, i: int, levels: int, blocks: int, attends: bool, resamples: bool) -> Iterator[str]:
        for j in range(blocks):
            yield f"{self.resolution(i, levels)}.{self.block}.{j}"
            if attends:
                yield f"{self.resolution(i, levels)}.{self.attention}.{j}"
        if resamples:
            yield f"{self.resolution(i, levels)}.{self.resample}"


_COMPVIS = LayerNames(
    resolution=lambda i, levels: f"down.{i}",
    block="block",
    attention="attn",
    resample="downsample",
    middle=("mid.block_1", "mid.attn_1", "mid.block_2"),
    norm="norm_out",
    inner=(*BRANCH, (r"\.skip\.", ".nin_shortcut."), (r"\.to_out\.", ".proj_out."), (r"\.to_([qkv])\.", r".\1.")),
)
_DIFFUSERS = LayerNames(
    resolution=lambda i, levels: f"down_blocks.{i}",
    block="resnets",
    attention="attentions",
    resample="downsamplers.0",
    middle=("mid_block.resnets.0", "mid_block.attentions.0", "mid_block.resnets.1"),
    norm="conv_norm_out",
    inner=(
        *BRANCH,
        (r"\.skip\.", ".conv_shortcut."),
        (r"\.to_out\.", ".to_out.0."),
        (r"(attentions\.\d+\.)norm\.", r"\1group_norm."),
    ),
)
OLD_ATTENTION: Rules = (
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.0\.", ".proj_attn."),
)
"""What diffusers called an attention's layers before it shared them with the UNet; old folders still have them."""

LAYOUTS = {
    "compvis": (_COMPVIS, replace(_COMPVIS, resolution=lambda i, levels: f"up.{i}", resample="upsample")),
    "diffusers": (
        _DIFFUSERS,
        replace(_DIFFUSERS, resolution=lambda i, levels: f"up_blocks.{levels - 1 - i}", resample="upsamplers.0"),
    ),
}
"""Of the encoder and of the decoder."""
