"""What single files say of their process: keys without values, and metadata."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from ldmlab.interop.family import ImportHints
from ldmlab.interop.markers import Marks, read_marks
from ldmlab.interop.tensors import Tensors


def file(*keys: str, **metadata: str) -> Tensors:
    shapes = {name: torch.Size([0]) for name in (*keys, "conv_in.weight")}
    told = {name.replace("__", "."): value for name, value in metadata.items()}
    return Tensors(Path("a.safetensors"), shapes, lambda name: torch.empty(0), metadata=told)


@pytest.mark.parametrize(
    ("tensors", "wanted"),
    [
        (file(), Marks()),
        (file("v_pred"), Marks("Velocity", None, 1)),
        (file("v_pred", "ztsnr"), Marks("Velocity", True, 2)),
        (file("ztsnr"), Marks(None, True, 1)),
        (file(modelspec__prediction_type="v"), Marks("Velocity")),
        (file(modelspec__prediction_type="epsilon"), Marks("Epsilon")),
        (file(modelspec__predict_key="V"), Marks("Velocity")),
        (file("v_pred", modelspec__prediction_type="v"), Marks("Velocity", None, 1)),
        (file(ss_v_parameterization="True", ss_zero_terminal_snr="True"), Marks("Velocity", True)),
        (file(ss_v_parameterization="False", ss_zero_terminal_snr="None"), Marks("Epsilon")),
        (file(modelspec__title="v_prediction"), Marks()),
    ],
    ids=range(11),
)
def test_marks(tensors: Tensors, wanted: Marks) -> None:
    marks, rest = read_marks(tensors)
    assert marks == wanted
    assert list(rest) == ["conv_in.weight"]
    assert rest.metadata == tensors.metadata


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        (
            file("v_pred", modelspec__prediction_type="epsilon"),
            "the key 'v_pred' says velocity, modelspec.prediction_type says epsilon",
        ),
        (file("v_pred", ss_v_parameterization="False"), "contradicts itself"),
        (file("ztsnr", ss_zero_terminal_snr="False"), "has the key 'ztsnr', and its metadata say the contrary"),
        (file(modelspec__prediction_type="x" * 10**6), "its metadata have modelspec.prediction_type=xxx"),
        (file(ss_v_parameterization="maybe"), "ss_v_parameterization=maybe; use true or false"),
    ],
)
def test_marks_that_contradict_each_other_or_mean_nothing(tensors: Tensors, told: str) -> None:
    with pytest.raises(ValueError, match=f"path=a.safetensors: .*{told}") as raised:
        read_marks(tensors)
    assert len(str(raised.value)) < 300


def test_a_hint_that_nothing_asks_for_is_an_error() -> None:
    hints = ImportHints(heads=4, quick_gelu=False)
    assert hints.ask("heads") == 4
    with pytest.raises(ValueError, match="quick_gelu=False: nothing in this import reads it; leave it out"):
        hints.require_used()
    hints.ask("quick_gelu")
    hints.require_used()
    ImportHints().require_used()


def test_a_hint_that_a_file_answers_itself_is_an_error() -> None:
    hints = ImportHints(heads=4)
    assert hints.unless("heads", None, Path("a")) == 4
    assert hints.unless("latent_scale", 0.5, Path("a")) == 0.5
    with pytest.raises(ValueError, match="heads=4: path=a says 8 itself; leave heads out"):
        hints.unless("heads", 8, Path("a"))
