"""Pictures from classes with guidance, as users of both draw them: noise, all steps, decoding."""

from __future__ import annotations

from typing import Any

from ldmlab.compiling import compile_networks
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.precision import lay_out
from ldmlab.samplers.ddim import DDIM
from side_by_side.bench import Bench
from side_by_side.cost import dit_flops
from side_by_side.networks import decoder_of, our_dit, their_autoencoder, their_dit
from side_by_side.passes import TRANSFORMER, compile_blocks
from side_by_side.side import Side, compare

SCALE = 4.0


def section(bench: Bench) -> None:
    """DDIM on both sides, eager and compiled by block. Shares count the passes of the network alone."""
    size, pictures, steps = bench.sizes.drawing
    labels = list(range(pictures))

    def ours() -> Side:
        model = bench.ours(our_dit(size))
        lay_out(model, bench.precision)
        drawing = Drawing(DDIM(steps), ClassifierFree(SCALE), labels, pictures, bench.precision)
        return Side(
            model,
            lambda: sample(model, drawing, {"labels": labels}),
            lambda: compile_networks([model.denoiser.backbone], bench.backend),
        )

    def theirs() -> Side:
        from diffusers import DDIMScheduler, DiTPipeline

        network, autoencoder = bench.theirs(their_dit(size)), bench.theirs(their_autoencoder(decoder_of(size)))
        pipeline: Any = DiTPipeline(network, autoencoder.eval(), DDIMScheduler())
        pipeline.set_progress_bar_config(disable=True)
        settings = {"guidance_scale": SCALE, "num_inference_steps": steps, "output_type": "np"}
        return Side(network, lambda: pipeline(labels, **settings), lambda: compile_blocks(bench, network))

    compare(
        bench,
        "Drawing",
        f"{size.name}, {pictures} pictures, {steps} steps, guidance",
        TRANSFORMER,
        ours,
        theirs,
        unit="s a picture",
        pictures=pictures,
        flops=2 * steps * pictures * dit_flops(size),
    )
