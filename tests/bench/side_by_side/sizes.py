"""How large what is measured is: as published on a GPU, what a CPU does in a minute, and tiny for a test."""

from __future__ import annotations

from dataclasses import dataclass

Shape = tuple[int, int, int, int, int]


@dataclass(frozen=True)
class DiTSize:
    """A Diffusion Transformer of classes, on latents of 4 channels."""

    name: str
    width: int
    depth: int
    heads: int
    grid: int = 32


@dataclass(frozen=True)
class UNetSize:
    """Stable Diffusion's UNet, or a narrower one: its resolutions' features, and the words that it reads."""

    name: str
    features: tuple[int, ...]
    grid: int
    context: tuple[int, int] = (77, 768)


@dataclass(frozen=True)
class DecoderSize:
    """The autoencoder of factor 2^(resolutions - 1), and the pictures that it decodes at once."""

    name: str
    features: tuple[int, ...]
    side: int
    pictures: int
    groups: int = 32


@dataclass(frozen=True)
class CommandSize:
    """A whole run of training: its network, batch and steps, and the processes that read its data."""

    network: DiTSize
    batch: int
    steps: int
    workers: int


@dataclass(frozen=True)
class Sizes:
    """Everything that is measured.

    Attributes:
        precision: of networks; see `ldmlab.precision`.
        backend: what compiles; None for nothing.
        steps: whether training steps of all networks are measured, not only of those in `training`.
        rounds: measurements of each contender.
        least: seconds of a measurement at least.
        training: networks, and the batches that they are trained on.
        passes: networks, and the rows of one pass; for machines on which drawing takes too long.
        drawing: network, pictures, steps.
        unet: network, and the rows of a pass.
        decoder: what decodes.
        attention: B, h, N, M, d, and whether there is a mask.
        matrix: side of the square matrices whose product is the measure of the machine.
        command: a whole run.
        reading: shipped models, the captions of each, and the steps of a drawing.
    """

    precision: str
    backend: str | None
    steps: bool
    rounds: int
    least: float
    training: tuple[tuple[DiTSize, int], ...]
    passes: tuple[tuple[DiTSize, int], ...]
    drawing: tuple[DiTSize, int, int]
    unet: tuple[UNetSize, tuple[int, ...]]
    decoder: DecoderSize
    attention: tuple[tuple[Shape, bool], ...]
    matrix: int
    command: CommandSize
    reading: tuple[int, int, int]


S_2, XL_2 = DiTSize("DiT-S/2", 384, 12, 6), DiTSize("DiT-XL/2", 1152, 28, 16)
SD_1 = UNetSize("UNet of SD 1.x", (320, 640, 1280, 1280), 64)
KL_F8 = (128, 256, 512, 512)
PUBLISHED = Sizes(
    precision="bf16",
    backend="inductor",
    steps=False,
    rounds=4,
    least=0.2,
    training=((XL_2, 64), (S_2, 256)),
    passes=(),
    drawing=(XL_2, 32, 50),
    unet=(SD_1, (2, 16)),
    decoder=DecoderSize("KL-f8 decoder", KL_F8, 256, 16),
    attention=(
        ((64, 16, 256, 256, 72), False),
        ((256, 6, 256, 256, 64), False),
        ((16, 8, 4096, 4096, 40), False),
        ((16, 8, 4096, 77, 40), True),
        ((32, 16, 256, 77, 72), True),
    ),
    matrix=8192,
    command=CommandSize(S_2, 256, 64, 8),
    reading=(2, 200, 50),
)
CPU = Sizes(
    precision="fp32",
    backend=None,
    steps=True,
    rounds=5,
    least=0.0,
    training=((S_2, 4),),
    passes=((S_2, 4),),
    drawing=(S_2, 2, 4),
    unet=(UNetSize("UNet of 142M", (128, 256, 512, 512), 32), (2,)),
    decoder=DecoderSize("KL-f8 decoder", KL_F8, 64, 1),
    attention=(((4, 6, 256, 256, 64), False),),
    matrix=1024,
    command=CommandSize(S_2, 4, 16, 0),
    reading=(1, 16, 10),
)
SMALLEST = DiTSize("tiny DiT", 32, 2, 2, 8)
TINY = Sizes(
    precision="bf16",
    backend="eager",
    steps=True,
    rounds=1,
    least=0.0,
    training=((SMALLEST, 2), (SMALLEST, 1)),
    passes=((SMALLEST, 2),),
    drawing=(SMALLEST, 2, 2),
    unet=(UNetSize("tiny UNet", (32, 32), 8, (5, 16)), (2,)),
    decoder=DecoderSize("tiny decoder", (32, 32), 16, 2),
    attention=(((1, 2, 16, 16, 8), False), ((1, 2, 16, 5, 8), True)),
    matrix=64,
    command=CommandSize(SMALLEST, 2, 8, 0),
    reading=(1, 2, 1),
)
SIZES = {"published": PUBLISHED, "cpu": CPU, "tiny": TINY}
