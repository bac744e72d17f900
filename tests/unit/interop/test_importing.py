"""Weights of any names and shapes are imported, or refused in a line that names their file."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from ldmlab.interop.family import Family, ImportHints
from ldmlab.interop.importing import convert_parts
from ldmlab.interop.public_checkpoint import PublicCheckpoint
from ldmlab.interop.recognise import FAMILIES, RecognisedPart
from ldmlab.interop.tensors import Tensors

SIDES = (0, 1, 2, 4, 32, 64, 320, 768, 10**6)
BESIDE = (
    "encoder.conv_in.weight",
    "conv_out.weight",
    "out.2.weight",
    "down_blocks.0.resnets.0.conv1.weight",
    "down_blocks.0.resnets.0.time_emb_proj.weight",
    "input_blocks.1.0.in_layers.2.weight",
    "input_blocks.1.0.emb_layers.1.weight",
    "output_blocks.0.0.in_layers.2.weight",
    "encoder.down.0.block.0.conv1.weight",
    "encoder.down_blocks.0.resnets.0.conv1.weight",
    "quantize.embedding.weight",
    "proj_out_2.weight",
    "transformer_blocks.0.ff.net.0.proj.weight",
    "final_layer.linear.weight",
    "blocks.0.mlp.fc1.weight",
    "text_model.embeddings.position_embedding.weight",
    "embeddings.position_embedding.weight",
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "middle_block.1.transformer_blocks.0.attn2.to_k.weight",
)
"""Names that one layout or another reads sizes from."""


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
def test_no_shapes_are_too_odd_for_a_line(family: Family) -> None:
    rng = random.Random(family.title)
    for _ in range(8):
        names = [*family.marks, *rng.sample(BESIDE, rng.randint(0, len(BESIDE)))]
        shapes = {name: torch.Size(rng.choices(SIDES, k=rng.choice([0, 1, 2, 2, 3, 4, 4]))) for name in names}
        source = PublicCheckpoint(
            Path("file"), [RecognisedPart(family, Tensors(Path("file"), shapes, lambda name: torch.zeros(0)))]
        )
        with pytest.raises(ValueError, match="path=file: "):
            convert_parts(source, ImportHints(latent_scale=rng.choice([None, 1.0]), heads=4, quick_gelu=True))
