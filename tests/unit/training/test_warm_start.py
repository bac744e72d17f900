from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ldmlab.backbones.dit import DiT
from ldmlab.backbones.embeddings import grid_positions
from ldmlab.backbones.unet import UNet
from ldmlab.conditioners.class_label import ClassLabel
from ldmlab.conditioners.text import TextTransformer
from ldmlab.training.warm_start import take_over
from ldmlab.types import Conditioning


def dit(**settings: Any) -> DiT:
    model = DiT(**{"channels": 4, "grid": 4, "patch": 2, "width": 16, "depth": 1, "heads": 2, **settings})
    return filled(model)


def unet(**settings: Any) -> UNet:
    sizes = {"channels": 4, "grid": 4, "model_channels": 32, "multipliers": (1,), "residual_blocks": 1}
    return filled(UNet(**{**sizes, **settings}))


def filled(model: Any) -> Any:
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.1)
    return model


def text(length: int, captions: list[str], vocabulary: int = 300) -> TextTransformer:
    model = TextTransformer(vocabulary=vocabulary, length=length, width=16, depth=1, heads=2)
    model.prepare(captions)
    return model


def predict(model: nn.Module, channels: int = 4) -> torch.Tensor:
    x = torch.randn(2, channels, 4, 4, generator=torch.Generator().manual_seed(0))
    return model(x, torch.tensor([3, 700]), Conditioning())


@pytest.mark.parametrize("make", [dit, unet])
def test_a_model_of_the_same_sizes_is_taken_whole(make: Any) -> None:
    own, theirs = make(), make()
    done = take_over(own, theirs.state_dict())
    assert torch.equal(predict(own), predict(theirs))
    assert (set(done.whole), done.adapted, done.left, done.unused) == (set(theirs.state_dict()), {}, {}, [])


@pytest.mark.parametrize("make", [dit, unet])
@pytest.mark.parametrize(("outputs", "from_outputs"), [(8, 4), (4, 8)])
def test_a_learned_variance_more_or_less_leaves_the_prediction(make: Any, outputs: int, from_outputs: int) -> None:
    own, theirs = make(out_channels=outputs), make(out_channels=from_outputs)
    done = take_over(own, theirs.state_dict())
    torch.testing.assert_close(predict(own)[:, :4], predict(theirs)[:, :4])
    assert len(done.adapted) == 2
    assert not done.left


@pytest.mark.parametrize("make", [dit, unet])
def test_a_model_that_reads_a_picture_as_well_begins_as_the_one_that_did_not(make: Any) -> None:
    own, theirs = make(concat_channels=5), make()
    take_over(own, theirs.state_dict())
    x = torch.randn(1, 4, 4, 4)
    step, seen = torch.tensor([5]), Conditioning(concat=torch.randn(1, 5, 4, 4))
    torch.testing.assert_close(own(x, step, seen), theirs(x, step, Conditioning()))


def test_positions_of_another_resolution_are_interpolated() -> None:
    same, twice = grid_positions(4, 4, 16, base=4), grid_positions(8, 8, 16, base=4).unflatten(0, (8, 8))
    assert torch.equal(same, grid_positions(4, 4, 16))
    mean = (twice[0::2, 0::2] + twice[1::2, 1::2] + twice[0::2, 1::2] + twice[1::2, 0::2]) / 4
    assert (mean.flatten(0, 1) - same).abs().max() < 0.05
    for make, settings in ((dit, {}), (unet, {"positions": True})):
        own, theirs = make(grid=8, base_grid=4, **settings), make(**settings)
        assert not take_over(own, theirs.state_dict()).left
        assert own.positions.shape != theirs.positions.shape
        assert not torch.equal(own.positions, make(grid=8, **settings).positions)


def test_other_classes_are_left_out_and_named() -> None:
    def model(classes: int) -> nn.ModuleDict:
        return nn.ModuleDict({"conditioner": ClassLabel(classes, 16), "backbone": dit(vector_width=16)})

    own, theirs = model(3), model(7)
    done = take_over(own, theirs.state_dict())
    assert done.left == {"conditioner.table.weight": "8x16 in the file, 4x16 here"}
    assert any("conditioner.table.weight (8x16 in the file, 4x16 here)" in line for line in done.lines())
    assert torch.equal(own["backbone"].final.weight, theirs["backbone"].final.weight)


def test_prompts_of_another_length_keep_their_first_positions_and_the_tokenizer() -> None:
    own, theirs = text(12, ["a red star"]), text(8, ["a small blue circle"])
    own.tokenizer = None
    done = take_over(own, theirs.state_dict())
    assert torch.equal(own.positions[:8], theirs.positions)
    assert not torch.equal(own.positions[8:], torch.zeros(4, 16))
    assert list(done.adapted) == ["positions"]
    assert own.tokenizer is not None
    assert own.tokenizer.encode("blue").ids == theirs.tokenizer.encode("blue").ids  # type: ignore[union-attr]


def test_a_tokenizer_comes_with_its_tokens_or_not_at_all() -> None:
    own, theirs = text(8, ["a red star"], vocabulary=290), text(8, ["a small blue circle"])
    before = own.tokenizer
    done = take_over(own, theirs.state_dict())
    assert own.tokenizer is before
    assert {"tokens.weight", "_extra_state"} <= set(done.left)
    assert torch.equal(own.positions, theirs.positions)


def test_a_part_alone_and_names_without_a_place() -> None:
    own = nn.ModuleDict({"denoiser": dit(), "autoencoder": nn.Linear(2, 2)})
    state = {f"denoiser.{name}": value for name, value in dit().state_dict().items()}
    before = own["autoencoder"].weight.clone()
    state |= {"autoencoder.weight": torch.ones(2, 2), "other.weight": torch.ones(1)}
    done = take_over(own, state, keep=("autoencoder.",))
    assert torch.equal(own["autoencoder"].weight, before)
    assert done.unused == ["other.weight"]


def test_nothing_fits() -> None:
    with pytest.raises(ValueError, match="nothing in it fits"):
        take_over(nn.Linear(2, 3), {"weight": torch.ones(1, 1), "other": torch.ones(3)})
