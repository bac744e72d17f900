"""Checkpoints are strangers' files: whatever they say is refused in one line and bounded time, and never run."""

from __future__ import annotations

import copy
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

import ldmlab.conditioners.clip  # noqa: F401 - takes seconds that are not a file's
from ldmlab.models.build import build_model
from ldmlab.models.latent_diffusion import LatentDiffusion
from ldmlab.models.loading import load_autoencoder, load_model, read_trusted, stored_part
from ldmlab.tensor_file import write_tensors
from ldmlab.training.origin import begin_from, read_origin
from ldmlab.training.resume import find_start

SECONDS = 20
"""What any of these files may take; most take milliseconds, and the rest is for busy machines."""
CONFIG = {
    "model": "latent_diffusion",
    "image_size": 16,
    "autoencoder": {
        "_target_": "ldmlab.autoencoders.kl.AutoencoderKL",
        "channels": 8,
        "multipliers": [1, 1],
        "residual_blocks": 1,
        "norm_groups": 4,
    },
    "backbone": {"_target_": "ldmlab.backbones.dit.DiT", "patch": 2, "width": 16, "depth": 1, "heads": 2},
    "conditioner": {
        "_target_": "ldmlab.conditioners.text.TextTransformer",
        "vocabulary": 300,
        "length": 8,
        "width": 16,
        "depth": 1,
        "heads": 2,
    },
    "schedule": {"_target_": "ldmlab.diffusion.schedules.cosine", "timesteps": 10},
    "parameterization": {"_target_": "ldmlab.diffusion.parameterizations.Velocity"},
}
UNET = {"_target_": "ldmlab.backbones.unet.UNet", "model_channels": 32, "multipliers": [1]}
TOUCH = {"_target_": "pathlib.Path.write_text", "self": "touched", "data": "x"}
HUGE = 10**9


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    """Of the model that `CONFIG` describes."""
    model = build_model(CONFIG)
    assert isinstance(model, LatentDiffusion)
    model.conditioner.prepare(["a red star"])
    return model.state_dict()


def write(path: Path, config: Any, state: dict[str, torch.Tensor], text: str | None = None) -> Path:
    """A file of either kind with that config, or with that text in its place."""
    if path.suffix == ".ckpt":
        torch.save({"config": config, "state_dict": state}, path)
        return path
    metadata = {"format": "ldmlab", "ema": "true", "config": json.dumps(config) if text is None else text}
    with open(path, "wb") as file:
        write_tensors(file, {name: t.contiguous() for name, t in state.items()}, metadata)
    return path


def changed(where: str, value: Any) -> dict[str, Any]:
    """`CONFIG` with one entry set, or taken out where the value is `...`."""
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    *folders, last = where.split(".")
    inner: Any = config
    for name in folders:
        inner = inner[name]
    if value is ...:
        del inner[last]
    else:
        inner[last] = value
    return config


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """One line that names the file, soon, and nothing run."""
    start = time.perf_counter()
    with pytest.raises(ValueError, match="ckpt=") as raised:
        yield
    assert time.perf_counter() - start < SECONDS
    assert f"ckpt={path}: " in str(raised.value)
    assert len(str(raised.value)) < 1000
    assert not (path.parent / "touched").exists()


def test_the_file_that_is_changed_below_is_good(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    for suffix in (".safetensors", ".ckpt"):
        loaded = load_model(str(write(tmp_path / f"a{suffix}", CONFIG, weights)))
        assert isinstance(loaded.model, LatentDiffusion)
        assert loaded.model.conditioner.batch(["a red star"]) == {"captions": ["a red star"]}


def nested(depth: int, kind: type) -> Any:
    node: Any = kind()
    for _ in range(depth):
        node = [node] if kind is list else {"a": node}
    return node


CHANGES: list[tuple[str, Any]] = [
    # code
    ("conditioner.vocabulary", "${oc.create:{_target_:pathlib.Path.write_text,self:touched,data:x}}"),
    ("conditioner.length", "${oc.env:HOME}"),
    ("backbone.${now:}", 1),
    ("backbone.attention", "${now:%Y}"),
    ("conditioner", TOUCH),
    ("schedule", TOUCH),
    ("objective", TOUCH),
    ("backbone.depth", TOUCH),
    ("conditioner._target_", "ldmlab.conditioners.clip.open_clip.factory.load_state_dict"),
    ("conditioner._target_", "ldmlab.conditioners.tokenizer.read_wordpiece"),
    ("autoencoder._target_", "ldmlab.autoencoders.perceptual.LpipsLoss"),
    ("autoencoder._target_", "ldmlab.autoencoders.base.Autoencoder"),
    ("conditioner._target_", "ldmlab.conditioners.base.Conditioner"),
    ("parameterization._target_", "ldmlab.diffusion.parameterizations.Parameterization"),
    ("schedule._target_", "ldmlab.diffusion.schedules.NoiseSchedule"),
    ("backbone._target_", "ldmlab.conditioners.none.NoCondition"),
    ("backbone._target_", "ldmlab.backbones.\0.X"),
    ("backbone._target_", "ldmlab.backbones."),
    ("backbone._target_", ["os.system"]),
    # Hydra's own words
    ("backbone._recursive_", "x"),
    ("backbone._convert_", "all"),
    ("backbone._args_", [1, 2]),
    ("schedule._partial_", True),
    # files
    ("conditioner", {"_target_": "ldmlab.conditioners.clip.FrozenCLIP", "model": "ViT-B-32", "weights": "/etc/passwd"}),
    ("conditioner", {"_target_": "ldmlab.conditioners.clip.FrozenCLIP", "model": "hf-hub:a/b", "weights": None}),
    ("autoencoder_ckpt", "../../etc/passwd"),
    ("autoencoder_ckpt", "shapes/../shapes/dit"),
    ("autoencoder_ckpt", ["shapes/dit"]),
    # types
    ("image_size", "64"),
    ("image_size", True),
    ("image_size", 16.0),
    ("image_size", None),
    ("backbone.depth", "1"),
    ("backbone.depth", True),
    ("backbone.depth", 1.0),
    ("backbone.depth", None),
    ("backbone.mlp_ratio", "4"),
    ("backbone.attention", 3),
    ("conditioner.pooled", 1),
    ("autoencoder.multipliers", "12"),
    ("autoencoder.multipliers", [1, "1"]),
    ("autoencoder.multipliers", {"0": 1}),
    ("conditioner", []),
    ("backbone", None),
    ("schedule", "cosine"),
    ("schedule", [{"_target_": "ldmlab.diffusion.schedules.cosine"}]),
    ("model", 5),
    ("model", "unet"),
    ("model", ["autoencoder"]),
    ("model", {}),
    # what is there and what is not
    ("backbone._target_", ...),
    ("backbone", {}),
    ("backbone", ...),
    ("autoencoder", ...),
    ("model", ...),
    ("image_size", ...),
    ("backbone.unknown", 1),
    ("backbone.grid", 4),
    ("backbone.channels", HUGE),
    ("parameterization", {"_target_": "ldmlab.diffusion.parameterizations.PosteriorMean"}),
    ("conditioner", {"_target_": "ldmlab.conditioners.class_label.ClassLabel"}),
    # ranges
    ("backbone.heads", 0),
    ("backbone.heads", -2),
    ("backbone.patch", 0),
    ("backbone.patch", -1),
    ("backbone.width", 0),
    ("backbone.width", -16),
    ("backbone.depth", -1),
    ("backbone.mlp_ratio", -1.0),
    ("backbone.mlp_ratio", float("nan")),
    ("backbone.mlp_ratio", float("inf")),
    ("backbone.mlp_ratio", 1e300),
    ("autoencoder.norm_groups", 0),
    ("autoencoder.norm_groups", -4),
    ("autoencoder.residual_blocks", -1),
    ("autoencoder.multipliers", []),
    ("autoencoder.multipliers", [0, 0]),
    ("autoencoder.patch", 0),
    ("autoencoder.patch", 16),
    ("image_size", 0),
    ("image_size", -16),
    ("image_size", 17),
    ("schedule.timesteps", 0),
    ("schedule.offset", float("nan")),
    # sizes
    ("image_size", HUGE),
    ("image_size", 4096),
    ("image_size", 10**30),
    ("backbone.depth", HUGE),
    ("backbone.depth", 10**400),
    ("backbone.width", HUGE),
    ("backbone.heads", HUGE),
    ("conditioner.length", HUGE),
    ("conditioner.vocabulary", HUGE),
    ("conditioner.depth", HUGE),
    ("schedule.timesteps", HUGE),
    ("schedule.timesteps", 10**12),
    ("autoencoder.residual_blocks", HUGE),
    ("autoencoder.multipliers", [1] * 1000),
    ("autoencoder.multipliers", [1] * 10**6),
    ("autoencoder.multipliers", [HUGE, HUGE]),
    ("autoencoder.latent_channels", HUGE),
    ("autoencoder.attention_factors", list(range(10**5))),
    ("backbone", {**UNET, "residual_blocks": HUGE}),
    ("backbone", {**UNET, "transformer_depth": HUGE}),
    ("backbone", {**UNET, "positions": True, "model_channels": HUGE}),
    ("conditioner", {"_target_": "ldmlab.conditioners.clip.CLIPText", "length": HUGE, "width": 8, "heads": 1}),
    ("conditioner", {"_target_": "ldmlab.conditioners.clip.CLIPText", "depth": HUGE, "width": 8, "heads": 1}),
    ("conditioner", {"_target_": "ldmlab.conditioners.super_resolution.SuperResolution", "factor": HUGE}),
    ("backbone.attention", "x" * 10**6),
    ("x" * 10**6, 1),
    ("extra", nested(200, list)),
    ("extra", nested(200, dict)),
]


def named(change: tuple[str, Any]) -> str:
    where, value = change
    return f"{where}={value}"[:50]


@pytest.mark.parametrize("change", CHANGES, ids=named)
def test_a_config_that_describes_no_model_of_ours_is_refused(
    change: tuple[str, Any],
    weights: dict[str, torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.safetensors", changed(*change), weights)
    with refused(path):
        load_model(str(path))


@pytest.mark.parametrize("config", [None, 5, "x", [], [CONFIG], {}, {"model": "autoencoder"}, True], ids=str)
@pytest.mark.parametrize(
    "read", [load_model, load_autoencoder, read_trusted, lambda path: stored_part(path, "conditioner")]
)
def test_what_is_no_config_is_refused(
    read: Callable[[str], Any], config: Any, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.safetensors", config, weights)
    with refused(path):
        read(str(path))


TEXTS = {
    "empty": "",
    "no JSON": "{",
    "lists": "[" * 100_000 + "]" * 100_000,
    "dicts": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "twice": json.dumps(CONFIG)[:-1] + ', "model": "autoencoder"}',
    "digits": '{"model": ' + "9" * 100_000 + "}",
    "long": json.dumps({**CONFIG, "extra": ["x"] * 10**6}),
    "constants": '{"model": NaN, "image_size": -Infinity}',
}


@pytest.mark.parametrize("kind", TEXTS)
def test_a_config_that_is_no_json_is_refused(kind: str, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", None, weights, TEXTS[kind])
    with refused(path):
        load_model(str(path))


def endless() -> dict[str, Any]:
    config: dict[str, Any] = copy.deepcopy(CONFIG)
    config["extra"] = [config]
    return config


def laughing() -> dict[str, Any]:
    node: Any = ["ha"] * 10
    for _ in range(7):
        node = [node] * 10
    return {**CONFIG, "extra": node}


@pytest.mark.parametrize(
    "config",
    [
        endless(),
        laughing(),
        {**CONFIG, "image_size": torch.tensor(16)},
        {**CONFIG, "backbone": {**CONFIG["backbone"], "width": torch.tensor(16)}},
        changed("conditioner.vocabulary", CHANGES[0][1]),
        changed("backbone.depth", HUGE),
        {**CONFIG, 5: 5},
        {**CONFIG, ("a",): 5},
        {**CONFIG, "extra": {1, 2}},
        {**CONFIG, "extra": b"bytes"},
        {**CONFIG, "extra": 1j},
        {**CONFIG, "backbone": ["_target_"]},
        [("model", "autoencoder")],
    ],
    ids=range(13),
)
def test_objects_that_json_has_not_are_refused(config: Any, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", config, weights)
    with refused(path):
        load_model(str(path))


def test_an_ordered_config_is_as_good_as_any(weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", OrderedDict(CONFIG), weights)
    assert isinstance(load_model(str(path)).model, LatentDiffusion)


TABLE = "conditioner.tokens.weight"
SIZE = (300, 16)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(SIZE, dtype=torch.int64),
        torch.zeros(SIZE, dtype=torch.bool),
        torch.zeros(SIZE, dtype=torch.complex64),
        torch.zeros(SIZE).to(torch.float8_e4m3fn),
        torch.zeros(SIZE, dtype=torch.uint8).view(torch.float4_e2m1fn_x2),
        torch.full(SIZE, 1e300, dtype=torch.float64),
        torch.full(SIZE, float("nan")),
        torch.full(SIZE, float("inf")),
        torch.zeros(0, 16),
        torch.zeros(1).expand(10**6, 10**6),
        torch.zeros(SIZE).to_sparse(),
        torch.zeros(SIZE, device="meta"),
        "weights",
        None,
    ],
    ids=range(14),
)
def test_tensors_that_no_model_computes_with_are_refused(
    tensor: Any, weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.ckpt", CONFIG, {**weights, TABLE: tensor})
    with refused(path):
        load_model(str(path))


def test_a_tokenizer_with_more_words_than_the_table_has_rows_is_refused(
    weights: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    words = json.loads(bytes(weights["conditioner._extra_state"].tolist()))
    words["model"]["vocab"]["far"] = HUGE
    data = torch.frombuffer(bytearray(json.dumps(words).encode()), dtype=torch.uint8)
    for tokenizer in (data, data[:-5], torch.zeros(3)):
        path = write(tmp_path / "a.safetensors", CONFIG, {**weights, "conditioner._extra_state": tokenizer})
        with refused(path):
            load_model(str(path))


@pytest.mark.parametrize("state", [None, [], {}, {5: torch.ones(1)}, {"a": 1}, "state", torch.ones(1)], ids=str)
def test_what_is_no_state_dict_is_refused(state: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.ckpt", CONFIG, state)
    with refused(path):
        load_model(str(path))


RESUMABLE = {
    "config": CONFIG,
    "state_dict": {"a": torch.ones(1)},
    "global_step": 1,
    "loops": {},
    "optimizer_states": [],
}


@pytest.mark.parametrize(
    "changes",
    [
        {"config": []},
        {"config": None},
        {"config": endless()},
        {"config": {5: 5, "a": 1}},
        {"config": changed(*CHANGES[0])},
        {"state_dict": []},
        {"state_dict": {"a": 5}},
        {"state_dict": {"a": torch.zeros(1).expand(10**6, 10**6)}},
        {"global_step": "many"},
        {"loops": None},
        {"optimizer_states": {}},
    ],
    ids=range(11),
)
def test_a_checkpoint_to_go_on_from_is_one(changes: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    torch.save({**RESUMABLE, **changes}, path)
    with pytest.raises(ValueError, match=f"ckpt_path={path}: "):
        find_start(tmp_path / "run", str(path))


COMMANDS = {
    "sample": ("a red star", "ckpt={}"),
    "evaluate": ("ckpt={}", "data.path={shards}"),
    "edit": ("source=a red star", "target=a blue star", "ckpt={}"),
    "attention": ("prompt=a red star", "ckpt={}"),
    "benchmark": ("ckpt={}",),
    "export": ("ckpt={}", "output=folder"),
    "describe": ("experiment=shapes/dit", "autoencoder_ckpt={}"),
    "import": ("{}", "autoencoder_ckpt={}"),
    "train autoencoder_ckpt": ("experiment=shapes/dit", "data.path={shards}", "autoencoder_ckpt={}"),
    "train conditioner_ckpt": ("experiment=shapes/dit", "data.path={shards}", "conditioner_ckpt={}"),
    "sample guidance": ("a red star", "guidance=autoguidance", "guidance.ckpt={}"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_opens_a_file_of_ours_refuses_it_in_one_line(
    command: str,
    weights: dict[str, torch.Tensor],
    shards: Path,
    ldmlab: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path / "a.safetensors", changed(*CHANGES[0]), weights)
    words = [word.replace("{}", str(path)).replace("{shards}", str(shards)) for word in COMMANDS[command]]
    refusal = ldmlab(command.partition(" ")[0], *words).refusal()
    assert str(path) in refusal
    assert command == "import" or "is an interpolation, which a stored config may not hold" in refusal
    assert not (tmp_path / "touched").exists()


@pytest.mark.parametrize("where", ["backbone.base_grid", "autoencoder.residual_blocks", "conditioner.tokens.weight"])
def test_a_run_begins_from_no_such_file(where: str, weights: dict[str, torch.Tensor], tmp_path: Path) -> None:
    state = {**weights, **({where: torch.full(SIZE, float("nan"))} if "weight" in where else {})}
    config = CONFIG if "weight" in where else changed(where, HUGE)
    path = write(tmp_path / "a.safetensors", config, state)
    model = build_model(CONFIG)
    start = time.perf_counter()
    with pytest.raises(ValueError, match=r"init_ckpt=|of another architecture|NaN"):
        begin(str(path), model)
    assert time.perf_counter() - start < SECONDS


def begin(path: str, model: torch.nn.Module) -> None:
    found = read_origin(path)
    assert found is not None
    found.base_grid(CONFIG["backbone"], 4)
    begin_from(found, model, CONFIG)
