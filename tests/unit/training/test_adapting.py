"""A run that trains an adapter: its base stays and is not saved, it goes on exactly, and its file is small."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from ldmlab.models.checkpoints import read_checkpoint, read_lightning
from ldmlab.models.loading import load_latent_diffusion

ADAPT = ("adapter=lora", "adapter.rank=2", "optimizer.lr=0.01", "scheduler.warmup_steps=1")
FREE = ("experiment=", "backbone", "conditioner")


@pytest.fixture(scope="module")
def adapt(tiny: dict[str, tuple[str, ...]], dit: Path, shards: Path, ldmlab: Callable[..., Any]) -> Callable[..., Any]:
    """(words...) -> how a run with the tiny model's settings ended."""
    common = [word for word in tiny["dit"] if not word.startswith(FREE) and "warmup_steps" not in word]
    base = f"init_ckpt={dit / 'model.safetensors'}"
    return lambda *words: ldmlab("train", *common, *ADAPT, f"data.path={shards}", base, *words)


@pytest.fixture(scope="module")
def run(adapt: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an adapter trained for four steps."""
    folder = tmp_path_factory.mktemp("adapted") / "run"
    done = adapt(f"output_dir={folder}")
    assert done.code == 0, done.err
    return folder


def test_what_it_leaves_is_the_adapter_alone(run: Path, dit: Path) -> None:
    names = set(load_file(run / "adapter.safetensors"))
    assert names
    assert all(name.endswith((".lora_down", ".lora_up")) for name in names)
    assert not (run / "model.safetensors").exists()
    assert (run / "adapter.safetensors").stat().st_size < (dit / "model.safetensors").stat().st_size / 2
    stored = read_lightning(run / "last.ckpt")
    own = {name for name in stored["state_dict"] if not name.startswith("ema.")}
    assert own == {f"model.{name}" for name in names}
    config = read_checkpoint(run / "adapter.safetensors").config
    assert (config["model"], config["base_name"]) == ("adapter", "model.safetensors")


def test_it_learns_and_draws_on_its_base(run: Path, dit: Path) -> None:
    base = str(dit / "model.safetensors")
    loaded = load_latent_diffusion(base, adapter_ckpt=str(run / "adapter.safetensors"))
    state = loaded.model.state_dict()
    assert all(
        torch.equal(state[name], tensor) for name, tensor in load_latent_diffusion(base).model.state_dict().items()
    )
    assert any(float(tensor.abs().max()) > 0 for name, tensor in state.items() if name.endswith("lora_up"))
    averaged = load_latent_diffusion(base, adapter_ckpt=str(run / "last.ckpt")).model.state_dict()
    assert all(torch.equal(averaged[name], tensor) for name, tensor in state.items())


def test_a_run_goes_on_exactly(adapt: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    for words in (("trainer.max_steps=2",), ("ckpt_path=last",)):
        done = adapt(f"output_dir={folder}", *words)
        assert done.code == 0, done.err
    whole, resumed = (load_file(path / "adapter.safetensors") for path in (run, folder))
    assert whole.keys() == resumed.keys()
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_an_adapter_is_trained_further(adapt: Callable[..., Any], run: Path, tmp_path: Path) -> None:
    done = adapt(f"adapter_ckpt={run / 'adapter.safetensors'}", "optimizer.lr=0", f"output_dir={tmp_path / 'run'}")
    assert done.code == 0, done.err
    before, after = (load_file(path / "adapter.safetensors") for path in (run, tmp_path / "run"))
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("init_ckpt=null",), "adapter: there is no model to adapt; give init_ckpt="),
        (("data.image_size=64",), "data.image_size=64: init_ckpt="),
        (("backbone=unet",), "backbone: nothing would read it: an adapter is trained"),
        (("adapter.rank=0",), "adapter.rank=0 is too small"),
        (("init_ckpt=shapes/unet",), "data.image_size=32: init_ckpt=shapes/unet draws pictures of 64 px"),
    ],
)
def test_what_does_not_fit_is_refused(
    words: tuple[str, ...], told: str, adapt: Callable[..., Any], tmp_path: Path
) -> None:
    assert told in adapt(f"output_dir={tmp_path / 'run'}", *words).refusal()
    assert not (tmp_path / "run").exists()


def test_another_adapter_or_base_is_not_gone_on_with(
    adapt: Callable[..., Any], run: Path, unet: Path, tmp_path: Path
) -> None:
    assert "was trained with adapter=" in adapt(f"output_dir={run}", "ckpt_path=last", "adapter.rank=4").refusal()
    other = f"init_ckpt={unet / 'model.safetensors'}"
    assert "was trained with base=" in adapt(f"output_dir={run}", "ckpt_path=last", other).refusal()
    told = adapt(f"adapter_ckpt={run / 'adapter.safetensors'}", other, f"output_dir={tmp_path / 'run'}").refusal()
    assert "was trained on another model, model.safetensors" in told
