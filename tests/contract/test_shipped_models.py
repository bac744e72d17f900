"""Every model that is shipped loads by the name of the experiment that trained it, and draws; found by glob."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from hydra import compose
from hydra.utils import instantiate

from ldmlab.configs import catalogue
from ldmlab.configs.build import resolved
from ldmlab.configs.compose import hydra_at_conf
from ldmlab.drawing.drawing import Drawing
from ldmlab.drawing.samples import sample
from ldmlab.guidance.classifier_free import ClassifierFree
from ldmlab.models.build import DIFFUSION_GROUPS, OBJECTIVE
from ldmlab.models.component import with_defaults
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_autoencoder, load_latent_diffusion
from ldmlab.paths import experiments_dir
from ldmlab.samplers.ddim import DDIM
from ldmlab.tensor_file import check
from ldmlab.worlds.shapes.verifier import look

LARGEST = 40e6
WEIGHTS = sorted(experiments_dir().glob("*/weights/*.safetensors"))
NAMES = [f"{path.parents[1].name}/{path.stem}" for path in WEIGHTS]


def test_both_backbones_are_shipped_and_small() -> None:
    assert {"shapes/dit", "shapes/unet"} <= set(NAMES)
    assert sum(path.stat().st_size for path in WEIGHTS) < LARGEST


@pytest.mark.parametrize("name", NAMES)
def test_it_draws_what_the_prompt_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four pictures of one red square in the middle: a shipped model that has not learnt that is not worth shipping."""
    monkeypatch.chdir(tmp_path)
    loaded = load_latent_diffusion(name)
    assert loaded.checkpoint.ema
    assert isinstance(loaded.model, LatentDiffusion)
    prompts = {"captions": ["a big red square in the middle on a white background"] * 4}
    images = sample(loaded.model, Drawing(DDIM(20), ClassifierFree(4.0), [0, 1, 2, 3]), prompts)
    seen = [look(image.permute(1, 2, 0).numpy()) for image in images]
    assert [s.background for s in seen] == ["white"] * 4
    right = [
        (o.shape, o.colour, o.size, o.place) == ("square", "red", "big", "middle") for s in seen for o in s.objects
    ]
    assert sum(right) >= 3


@pytest.mark.parametrize("name", NAMES)
def test_it_is_what_its_experiment_trains(name: str) -> None:
    """Keys and groups that came after it was trained must be at what it was trained with: the constructor's default."""
    stored = load_latent_diffusion(name).checkpoint.config
    with hydra_at_conf("train"):
        config = compose("train", [f"experiment={name}"])
    for group in DIFFUSION_GROUPS:
        wanted = resolved(config[group])
        assert with_defaults(stored.get(group, OBJECTIVE), wanted) == wanted, group
    assert stored["image_size"] == config.data.image_size


@pytest.fixture(scope="module")
def models() -> dict[str, LatentDiffusion]:
    """The shipped models by name."""
    return {name: load_latent_diffusion(name).model for name in NAMES}


@pytest.mark.parametrize("sampler", catalogue.options("sampler"))
def test_every_sampler_as_configured_starts_from_noise(sampler: str, models: dict[str, LatentDiffusion]) -> None:
    """Its first level must bear as little of a picture as what it starts from: none."""
    with hydra_at_conf("sample"):
        configured = compose("sample", [f"sampler={sampler}"]).sampler
    for steps in (1, 2, 50):
        chosen = instantiate(configured, steps=steps)
        for name, model in models.items():
            assert float(chosen.levels(model.denoiser.schedule)[0].alpha) < 0.1, (name, steps)


@pytest.mark.parametrize(("name", "digest"), [("shapes/dit", "702de73ccebe58b5"), ("shapes/unet", "a2704b4928d49664")])
def test_its_file_has_a_digest_over_the_same_weights_as_ever(name: str, digest: str) -> None:
    content = WEIGHTS[NAMES.index(name)].read_bytes()
    assert hashlib.sha256(content[8 + int.from_bytes(content[:8], "little") :]).hexdigest().startswith(digest)
    assert check(WEIGHTS[NAMES.index(name)]).digest is not None


@pytest.mark.parametrize("name", NAMES)
def test_it_remembers_its_data(name: str) -> None:
    data = load_latent_diffusion(name).checkpoint.data
    assert data is not None
    assert (data["path"], data["image_size"]) == ("data/shapes", 64)


def test_the_shipped_models_share_one_autoencoder() -> None:
    one, *others = (load_autoencoder(name)[0].state_dict() for name in NAMES if name.startswith("shapes/"))
    for other in others:
        assert all(torch.equal(value, other[key]) for key, value in one.items())


def test_a_file_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shapes").mkdir()
    (tmp_path / "shapes/dit").write_text("mine")
    with pytest.raises(ValueError, match="ckpt=shapes/dit: this is no checkpoint"):
        load_latent_diffusion("shapes/dit")
