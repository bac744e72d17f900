from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.errors import InstantiationException

from ldmlab.autoencoders.kl import AutoencoderKL
from ldmlab.cli.errors import explain
from ldmlab.cli.launch import launch
from ldmlab.counting.module_cost import count_values
from ldmlab.models.checkpoints import export_weights

TINY = {"channels": 16, "multipliers": [1, 2], "residual_blocks": 1, "norm_groups": 8, "patch": 4}
DIT = ("backbone.width=32", "backbone.depth=3", "backbone.heads=2", "conditioner.length=9")


@pytest.fixture(scope="module")
def autoencoder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, AutoencoderKL]:
    """An autoencoder of factor 8, and the file that it was exported to."""
    path = tmp_path_factory.mktemp("autoencoder") / "tiny.safetensors"
    module = AutoencoderKL(**TINY)
    config = {"model": "autoencoder", "image_size": 64}
    config["autoencoder"] = {"_target_": "ldmlab.autoencoders.kl.AutoencoderKL", **TINY}
    export_weights(path, {f"autoencoder.{k}": v for k, v in module.state_dict().items()}, config, False)
    return path, module


@pytest.fixture
def described(
    autoencoder: tuple[Path, AutoencoderKL],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Callable[..., str]:
    """What the command prints on stdout, run in a temporary folder to which it may add nothing."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> str:
        bare = "model=autoencoder" in overrides or any(o.startswith("autoencoder") for o in overrides)
        ckpt = [] if bare else [f"autoencoder_ckpt={autoencoder[0]}"]
        before = sorted(tmp_path.iterdir())
        launch("describe", [*ckpt, *overrides])
        assert sorted(tmp_path.iterdir()) == before
        return capsys.readouterr().out

    return run


@pytest.fixture(scope="module")
def told_before() -> dict[tuple[str, ...], dict[str, Any]]:
    return {}


@pytest.fixture
def plain(
    described: Callable[..., str], told_before: dict[tuple[str, ...], dict[str, Any]]
) -> Callable[..., dict[str, Any]]:
    """What the command prints as JSON, asked once in all for the same words."""

    def tell(*overrides: str) -> dict[str, Any]:
        if overrides not in told_before:
            told_before[overrides] = json.loads(described("json=true", *overrides))
        return told_before[overrides]

    return tell


def test_latent_diffusion(plain: Callable[..., dict[str, Any]], autoencoder: tuple[Path, AutoencoderKL]) -> None:
    told = plain(*DIT)
    assert told["latent_shape"] == [4, 8, 8]
    assert (told["image_tokens"], told["text_tokens"]) == ([16], 9)
    assert list(told["parts"]) == ["conditioner", "backbone", "autoencoder.encode", "autoencoder.decode"]
    roots = {name: parts[0] for name, parts in told["parts"].items()}
    assert roots["backbone"]["buffers"] == 16 * 32
    assert all(root["flops"] == 2 * root["macs"] > 0 for root in roots.values())
    totals = told["totals"]
    assert totals["frozen"] == count_values(autoencoder[1])[0]
    assert totals["trainable"] == roots["conditioner"]["trainable"] + roots["backbone"]["trainable"]
    assert totals["macs"] == sum(root["macs"] for root in roots.values())


def test_image_size_decides_latents_and_tokens(plain: Callable[..., dict[str, Any]]) -> None:
    told = plain(*DIT, "data.image_size=128")
    assert told["latent_shape"] == [4, 16, 16]
    assert told["image_tokens"] == [64]


def test_unet_with_classes(plain: Callable[..., dict[str, Any]]) -> None:
    told = plain("backbone=unet", "backbone.model_channels=32", "backbone.residual_blocks=1", "conditioner=class_label")
    assert told["text_tokens"] is None
    assert told["image_tokens"] == [64, 16, 4]


def test_autoencoder_with_its_discriminator(plain: Callable[..., dict[str, Any]]) -> None:
    small = ("autoencoder.channels=32", "discriminator.channels=8")
    told = plain("model=autoencoder", *small)
    assert list(told["parts"]) == ["autoencoder.encode", "autoencoder.decode", "discriminator"]
    assert told["totals"]["frozen"] == 0
    assert told["totals"]["trainable"] == sum(parts[0]["trainable"] for parts in told["parts"].values())
    assert "discriminator" not in plain("model=autoencoder", "autoencoder.channels=32", "discriminator=none")["parts"]


def test_depth(plain: Callable[..., dict[str, Any]]) -> None:
    paths = [part["path"] for part in plain(*DIT, "depth=2")["parts"]["backbone"]]
    assert "blocks.2" in paths
    assert max(path.count(".") for path in paths) == 1


@pytest.mark.slow
def test_an_experiment_for_training_is_described(
    plain: Callable[..., dict[str, Any]], study: Callable[[str, str], None]
) -> None:
    study("mine", "trainer:\n  max_steps: 3\nseed: 4\nbackbone:\n  width: 64\n  heads: 2\n  depth: 2\n")
    told = plain("experiment=mine")
    assert told["parts"]["backbone"][0]["buffers"] == 16 * 64


def test_table(described: Callable[..., str], plain: Callable[..., dict[str, Any]]) -> None:
    out = described(*DIT, "depth=2")
    totals = plain(*DIT)["totals"]
    lines = out.splitlines()
    blocks = next(line for line in lines if "AdaLNZeroBlock" in line)
    assert "0-2" in blocks
    assert "3 x AdaLNZeroBlock" in blocks
    footer = next(line for line in lines if "all, one pass each" in line)
    assert f"{totals['trainable']:,}" in footer
    assert f"{totals['macs'] / 1e6:,.3f}" in footer
    assert "images 3 x 64 x 64, latents 4 x 8 x 8" in lines
    assert "image tokens N = 16; text tokens L = 9" in lines


def test_table_without_a_terminal_is_neither_cut_nor_wrapped(described: Callable[..., str]) -> None:
    out = described(*DIT, "backbone.width=2048", "depth=4")
    table = [line for line in out.splitlines() if line.startswith("│")]
    assert max(map(len, table)) > 80
    assert len({line.count("│") for line in table}) == 1
    assert "…" not in out
    assert all(line.split("│")[3].strip() for line in table)


def test_an_image_size_that_does_not_fit(described: Callable[..., str]) -> None:
    with pytest.raises(ValueError, match=r"factor 8 does not divide .*data\.image_size"):
        described("data.image_size=60")


def test_of_an_adapted_model_the_adapter_alone_is_trained(plain: Callable[..., dict[str, Any]]) -> None:
    """Rank times inputs and outputs of each projection: width 32, and words of width 16."""
    words = (*DIT, "conditioner.width=16")
    whole, adapted = plain(*words), plain(*words, "adapter=lora", "adapter.rank=4")
    added = 3 * 4 * (6 * (32 + 32) + 2 * (16 + 32))
    assert adapted["denoiser"]["trainable"] == added
    assert adapted["denoiser"]["parameters"] == whole["denoiser"]["parameters"] + added


ALONE = "autoencoder_ckpt=null"


@pytest.mark.slow
def test_the_published_row_of_dit_xl_2_is_told_in_a_line(described: Callable[..., str]) -> None:
    lines = described("experiment=published/dit_xl_2", ALONE).splitlines()
    row = next(line for line in lines if line.startswith("denoiser (backbone and conditioner): "))
    assert "675,129,632 parameters, 674,834,720 of them trainable; 118.62 GMACs = 237.24 GFLOPs" in row
    assert "image tokens N = 256; text tokens L = 0" in lines
    assert "this is experiment=published/dit_xl_2" in lines


def test_the_published_row_of_dit_xl_2(plain: Callable[..., dict[str, Any]]) -> None:
    """Peebles & Xie 2023, table 4, from the experiment's name alone, and no checkpoint."""
    told = plain("experiment=published/dit_xl_2", ALONE)
    denoiser = told["denoiser"]
    assert denoiser["macs"] == pytest.approx(118.62e9, abs=5e6)
    assert (denoiser["parameters"], denoiser["trainable"]) == (675_129_632, 674_834_720)
    assert denoiser["flops"] == 2 * denoiser["macs"]
    assert told["experiment"] == "published/dit_xl_2"
    assert told["totals"]["frozen"] == 83_653_863  # the autoencoder of factor 8, without weights


def test_totals_add_up(plain: Callable[..., dict[str, Any]]) -> None:
    told = plain(*DIT)
    names = ["parameters", "trainable", "frozen", "buffers", "macs", "flops", "activation_bytes"]
    assert list(told["totals"]) == list(told["denoiser"]) == names
    for totals in (told["totals"], told["denoiser"]):
        assert totals["parameters"] == totals["trainable"] + totals["frozen"] + totals["buffers"]
    roots = {name: parts[0] for name, parts in told["parts"].items()}
    assert told["denoiser"]["activation_bytes"] == sum(
        roots[n]["activation_bytes"] for n in ("conditioner", "backbone")
    )
    assert roots["autoencoder.decode"]["activation_bytes"] == 0  # frozen: nothing is kept
    assert told["experiment"] is None


@pytest.mark.slow
def test_half_the_bytes_in_half_precision(plain: Callable[..., dict[str, Any]]) -> None:
    whole, half = (plain(*DIT, *dtype)["denoiser"] for dtype in ((), ("dtype=bfloat16",)))
    assert 0.5 <= half["activation_bytes"] / whole["activation_bytes"] < 0.52  # some sums stay in float32
    assert half["macs"] == whole["macs"]


def test_without_the_published_setting(plain: Callable[..., dict[str, Any]], described: Callable[..., str]) -> None:
    shallow = ("backbone=dit_s_8", "backbone.depth=1")
    assert "as published: ldmlab describe experiment=published/dit_s_8" in described(*shallow).splitlines()
    told = plain(*shallow, "backbone.patch=2")
    assert told["experiment"] is None
    assert told["latent_shape"] == [4, 8, 8]
    assert told["text_tokens"] == 32


@pytest.mark.slow
def test_keys_change_a_published_network(plain: Callable[..., dict[str, Any]]) -> None:
    told = plain("experiment=published/dit_s_8", "data.image_size=512", ALONE, "depth=1")
    assert (told["latent_shape"], told["image_tokens"]) == ([4, 64, 64], [64])


def test_a_checkpoint_comes_before_an_architecture(
    plain: Callable[..., dict[str, Any]], autoencoder: tuple[Path, AutoencoderKL]
) -> None:
    assert plain(*DIT, "autoencoder=kl_f4", "autoencoder.channels=32", ALONE)["latent_shape"] == [3, 16, 16]
    assert plain(*DIT, "autoencoder=kl_f4", f"autoencoder_ckpt={autoencoder[0]}")["latent_shape"] == [4, 8, 8]


@pytest.mark.slow
def test_channels_beside_the_latents(plain: Callable[..., dict[str, Any]]) -> None:
    told = plain("experiment=published/ldm_4_inpainting", ALONE)
    assert told["denoiser"]["parameters"] == 387_245_827
    assert told["image_tokens"] == [1024, 256, 64]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ("experiment=published/dit_xl_2", "data.image_size=264"),
            r"backbone.patch=2 does not divide the latent grid of 33",
        ),
        (
            ("experiment=published/dit_xl_2", "data.image_size=260"),
            r"factor 8 does not divide images of 260x260; set data.image_size",
        ),
        (
            ("experiment=published/ldm_8_churches", "data.image_size=192"),
            r"cannot split 24x24; use sides that 16 divides",
        ),
        (
            (
                "backbone=dit_s_2",
                "conditioner=none",
                "backbone.conditioning=cross_attention",
                "autoencoder=kl",
            ),
            r"backbone.conditioning=cross_attention: the conditioner gives nothing to attend to",
        ),
    ],
)
def test_networks_that_cannot_be(described: Callable[..., str], overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises((ValueError, InstantiationException)) as caught:
        described(*overrides, ALONE)
    assert re.search(message, str(explain(caught.value)))
