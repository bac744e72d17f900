"""Every decoder on photographs of 512 px, made 256 px: the processor's own time on one thread, in turns."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from time import process_time

import torch

from data_bench.page import table
from data_bench.photos import jpegs
from ldmlab.data.decoding.decode import decode_image
from ldmlab.data.decoding.decoders import Decoder, decoder_of

PHOTOS, TURNS, SIDE = 64, 9, 256
HOW = [decoder_of(name) for name in ("pillow", "torchvision", "simplejpeg")]
SCALED = [decoder_of(name, scaled=True) for name in ("pillow", "simplejpeg")]


def section(folder: Path) -> str:
    """Milliseconds a picture, and how often Pillow's time that is."""
    torch.set_num_threads(1)
    payloads, every = list(jpegs(PHOTOS)), [*HOW, *SCALED]
    times: dict[Decoder, list[float]] = {decoder: [] for decoder in every}
    for turn in range(TURNS + 1):
        for decoder in every if turn % 2 else every[::-1]:
            times[decoder].append(_seconds(payloads, decoder))
    milliseconds = {decoder: 1000 * median(seconds[1:]) / PHOTOS for decoder, seconds in times.items()}
    rows = [
        [f"`{decoder.name}`" + ", scaled" * decoder.scaled, f"{own:.2f}", f"{milliseconds[HOW[0]] / own:.2f}"]
        for decoder, own in milliseconds.items()
    ]
    return table(["decoder", "ms of CPU a picture", "times as fast as Pillow"], rows)


def _seconds(payloads: list[bytes], decoder: Decoder) -> float:
    start = process_time()
    for payload in payloads:
        decode_image(payload, SIDE, decoder=decoder)
    return process_time() - start
