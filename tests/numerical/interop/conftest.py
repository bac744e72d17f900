"""Public models of reduced width (`public.py`), and their way into ours."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from ldmlab.interop.family import ImportHints
from ldmlab.interop.importing import ConvertedPart, convert_parts
from ldmlab.interop.public_checkpoint import read_public

from . import public


@pytest.fixture(scope="session")
def diffusers() -> Any:
    """The package; without it the tests that ask for one of its models are skipped."""
    return pytest.importorskip("diffusers", exc_type=ImportError)


@pytest.fixture(scope="session")
def unet(diffusers: Any) -> Any:
    return public.unet()


@pytest.fixture(scope="session")
def vae(diffusers: Any) -> Any:
    return public.vae()


@pytest.fixture(scope="session")
def vqvae(diffusers: Any) -> Any:
    return public.vqvae()


@pytest.fixture(scope="session")
def transformer(diffusers: Any) -> Any:
    return public.transformer()


@pytest.fixture(scope="session")
def clip() -> dict[str, Tensor]:
    return public.clip_state()


@pytest.fixture(scope="session")
def stable_diffusion(diffusers: Any, clip: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of Stable Diffusion 1.x."""
    folder = tmp_path_factory.mktemp("public") / "tiny-sd"
    public.write_stable_diffusion(folder, clip)
    return folder


@pytest.fixture(scope="session")
def dit_folder(diffusers: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like that of DiT."""
    folder = tmp_path_factory.mktemp("public") / "tiny-dit"
    public.write_dit(folder)
    return folder


def built(part: ConvertedPart) -> Any:
    """A module of ours with the weights of an imported part."""
    module, _, name = part.config["_target_"].rpartition(".")
    settings = {key: value for key, value in part.config.items() if key != "_target_"}
    model = getattr(import_module(module), name)(**settings, **part.widths)
    model.load_state_dict(dict(part.state))
    return model.eval()


@pytest.fixture(scope="session")
def imported() -> Callable[..., dict[str, Any]]:
    """(path, hints) -> the modules of ours, by part."""

    def read(path: Path, **hints: Any) -> dict[str, Any]:
        parts, _ = convert_parts(read_public(path), ImportHints(**hints))
        return {name: built(part) for name, part in parts.items()}

    return read


def error(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape
    assert theirs.std() > 1e-3
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.fixture(scope="session")
def relative_error() -> Callable[[Tensor, Tensor], float]:
    """(ours, theirs) -> largest difference over largest value."""
    return error
