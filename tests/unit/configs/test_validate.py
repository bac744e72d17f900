from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from ldmlab.cli.command import find, names
from ldmlab.configs.compose import validate
from ldmlab.configs.key_types import leaves, mismatch
from ldmlab.configs.validate import _extra
from ldmlab.paths import conf_dir

Refused = Callable[..., str]
Study = Callable[[str, str], None]


NEEDED = {"edit": ["source=a"], "attention": ["prompt=a"], "import": ["path=a"], "export": ["ckpt=a", "output=b"],
          "dashboard": ["folder=a"], "submit": ["command=[sample]"], "pie_bench": ["path=a"]}  # fmt: skip
"""Keys without a default."""


@pytest.mark.parametrize("command", names())
def test_defaults_pass(command: str) -> None:
    config = validate(command, NEEDED.get(command, []))
    defaults = OmegaConf.load(conf_dir() / f"{command}.yaml")
    given = {override.partition("=")[0] for override in NEEDED.get(command, [])}
    for key in {str(key) for key in defaults} - {"defaults", *given}:
        assert OmegaConf.to_container(config, resolve=False)[key] == OmegaConf.to_container(defaults)[key], key


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["sampler.stesp=3"], "unknown key 'sampler.stesp'; did you mean 'sampler.steps'?"),
        pytest.param(
            ["+sampler.stesp=3"], "unknown key 'sampler.stesp'; did you mean 'sampler.steps'?", marks=pytest.mark.slow
        ),
        pytest.param(
            ["++sampler.stesp=3"], "unknown key 'sampler.stesp'; did you mean 'sampler.steps'?", marks=pytest.mark.slow
        ),
        (["+extra={a: 1}"], "unknown key 'extra'"),
        (["sampler.steps.x=3"], 'sampler.steps={"x": 3}: this key takes a whole number'),
        (["samplr=ddim"], "unknown key 'samplr'"),
        pytest.param(["+samplr=ddim"], "unknown key 'samplr'", marks=pytest.mark.slow),
        (["sampler=ddmi"], "group 'sampler' has no option 'ddmi'; did you mean 'ddim'?"),
        (["sampler=3"], "takes the name of an option; choose one of"),
        (["+sampler=ddim"], "chosen without the '+'"),
        (["sampler={stesp: 3}"], "unknown key 'sampler.stesp'"),
        pytest.param(["sampler=[ddim]", "sampler.stesp=1"], "unknown key 'sampler.stesp'", marks=pytest.mark.slow),
        (["backbone=dit"], "'sample' has no group 'backbone' here"),
        pytest.param(["sampler=ddpm", "sampler.eta=1"], "unknown key 'sampler.eta'", marks=pytest.mark.slow),
        (["~seed"], "seed: the command cannot do without this key"),
        (["~sampler"], "~sampler: `ldmlab sample` cannot do without it"),
        (["~nothing"], "~nothing: there is no such key; --cfg job prints all keys"),
        (["+backbone=dit"], "'sample' has no group 'backbone' here"),
        (["experiment=shapes/dit"], "experiment=shapes/dit: is one for `ldmlab train`"),
        (["seed=1,2"], "add -m to run once for each"),
        (["seed=[1"], "cannot read 'seed=[1' as an override"),
        (["seed=${nowhere}"], "'nowhere' not found"),
        (["hydra.run.dirr=x"], "unknown key 'hydra.run.dirr'"),
        (["hydra/launcher=submitt"], "group 'hydra/launcher' has no option 'submitt'"),
    ],
)
def test_wrong_keys_and_options(refused: Refused, overrides: list[str], told: str) -> None:
    assert told in refused("sample", *overrides)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("batch_size=1.5", "batch_size=1.5: this key takes a whole number"),
        pytest.param("batch_size=true", "batch_size=true: this key takes a whole number", marks=pytest.mark.slow),
        ("batch_size=null", "batch_size=null: this key takes a whole number"),
        pytest.param("batch_size=[1]", "batch_size=[1]: this key takes a whole number", marks=pytest.mark.slow),
        ("n=1.5", "n=1.5: input should be a valid integer"),
        pytest.param("n=true", "n=true: input should be a valid integer", marks=pytest.mark.slow),
        pytest.param("n=[1]", "n=[1]: input should be a valid integer", marks=pytest.mark.slow),
        ("ema=1", "ema=1: this key takes true or false"),
        ("sampler.eta=x", "sampler.eta=x: this key takes a number"),
        pytest.param("sampler.eta=false", "sampler.eta=false: this key takes a number", marks=pytest.mark.slow),
        ("sampler.spacing=3", "sampler.spacing=3: this key takes text"),
        ("ckpt={a: 1}", "this key takes a single value or a list"),
        pytest.param("batch_size={a: 1}", 'batch_size={"a": 1}: this key takes a whole number', marks=pytest.mark.slow),
        ("n={a: 1}", 'n={"a": 1}: this key takes a single value or a list'),
        ("n=0", "n=0: input should be greater than or equal to 1"),
        ("seed=-1", "seed=-1: input should be greater than or equal to 0"),
        pytest.param("device=gpu", "device=gpu: input should be 'auto', 'cpu' or 'cuda'", marks=pytest.mark.slow),
        ("output_dir=''", "output_dir="),
    ],
)
def test_wrong_types_and_ranges(refused: Refused, override: str, told: str) -> None:
    assert told in refused("sample", override)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("sampler.eta=1", 1),
        ("sampler.eta=0.5", 0.5),
        ("ckpt=a/b.ckpt", "a/b.ckpt"),
        ("prompts=[a,b]", ["a", "b"]),
        ("seed=0", 0),
    ],
)
def test_right_values_pass(override: str, value: object) -> None:
    assert OmegaConf.select(validate("sample", [override]), override.partition("=")[0]) == value


def test_a_value_without_a_default_is_of_the_type_that_its_component_takes(refused: Refused) -> None:
    told = refused("data", "dataset=folder", "dataset.folder=3")
    assert told.startswith("dataset.folder=3: this key takes text")
    assert "???" not in told


def test_missing_values_are_named_in_one_line(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "sampler").mkdir()
    (tmp_path / "sampler/open.yaml").write_text("_target_: a.B\nsteps: ???\neta: ???\n")
    chosen = [f"hydra.searchpath=[file://{tmp_path}]", "sampler=open"]
    assert refused("sample", *chosen) == (
        "no value for sampler.eta, sampler.steps; give sampler.eta=VALUE sampler.steps=VALUE"
    )
    assert "sampler.eta;" in refused("sample", *chosen, "sampler.steps=2")
    validate("sample", chosen, complete=False)
    validate("sample", [*chosen, "sampler.steps=2", "sampler.eta=x"])


def test_experiments_set_keys_and_options(study: Study) -> None:
    study("shapes/a", "defaults:\n  - override /sampler: ddpm\nn: 3\nsampler:\n  steps: 7\n")
    config = validate("sample", ["experiment=shapes/a", "n=4"])
    assert (config.n, config.sampler.steps) == (4, 7)
    assert config.sampler._target_ == "ldmlab.samplers.ddpm.DDPM"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sampler:\n  stesp: 3\n", "unknown key 'sampler.stesp' (in the experiment); did you mean 'sampler.steps'?"),
        ("sampler:\n  steps: many\n", "sampler.steps=many: this key takes a whole number"),
        ("sampler: 3\n", "sampler=3: this is a section"),
        ("n: [\n", "while parsing"),
        ("defaults:\n  - override /sampler: ddmi\n", "has no option 'ddmi'"),
        ("defaults:\n  - override /backbone: dit\n", "experiment=shapes/a: is one for `ldmlab train`"),
    ],
)
def test_mistakes_in_experiments(refused: Refused, study: Study, text: str, told: str) -> None:
    study("shapes/a", text)
    assert told in refused("sample", "experiment=shapes/a")


STUDY = "defaults:\n  - override /sampler: ddim\nsampler:\n  steps: 7\n  eta: 0.5\n"


def test_keys_of_an_option_that_is_replaced_fall_away_and_are_named(
    study: Study, caplog: pytest.LogCaptureFixture
) -> None:
    study("shapes/a", STUDY)
    config = validate("sample", ["experiment=shapes/a", "sampler=ddpm"])
    assert (config.sampler.steps, "eta" in config.sampler) == (7, False)
    assert caplog.messages == ["sampler.eta: set by an experiment or protocol for options that are not chosen"]
    caplog.clear()
    assert validate("sample", ["experiment=shapes/a", "sampler=ddim"]).sampler.eta == 0.5
    assert not caplog.messages


@pytest.mark.parametrize(
    ("text", "overrides", "told"),
    [
        (f"{STUDY}  stesp: 3\n", ["sampler=ddpm"], "unknown key 'sampler.stesp' (in the experiment)"),
        (STUDY, ["sampler=ddpm", "sampler.eta=1"], "unknown key 'sampler.eta'"),
        ("defaults:\n  - override /backbone: dit\n", ["sampler=ddpm"], "is one for `ldmlab train`"),
    ],
)
def test_but_no_others_do(refused: Refused, study: Study, text: str, overrides: list[str], told: str) -> None:
    study("shapes/a", text)
    assert told in refused("sample", "experiment=shapes/a", *overrides)


@pytest.mark.parametrize(
    ("words", "fallen"),
    [
        (("train", "experiment=shapes/dit", "conditioner=class_label"), "conditioner.length, conditioner.depth"),
        (("train", "experiment=shapes/unet", "backbone=dit_s_2"), "backbone.model_channels, backbone.multipliers"),
        (("describe", "experiment=shapes/dit", "optimizer=adam"), "optimizer.weight_decay, optimizer.fused"),
        (("benchmark", "experiment=prompt_to_prompt/swap", "method=fixed_seed"), "method.tau, method.self_tau"),
    ],
)
def test_options_of_our_experiments_can_be_replaced(
    words: tuple[str, ...], fallen: str, caplog: pytest.LogCaptureFixture
) -> None:
    validate(words[0], words[1:])
    assert fallen in caplog.text


@pytest.mark.parametrize(
    ("experiment", "choice", "group"),
    [
        ("shapes/dit", "model=autoencoder", "backbone"),
        ("editing/inpainting", "conditioner=text", "conditioner@conditioner.text"),
    ],
)
def test_a_choice_that_leaves_no_place_for_another(refused: Refused, experiment: str, choice: str, group: str) -> None:
    told = refused("train", f"experiment={experiment}", choice)
    assert told.startswith(f"{choice}: leaves no place for '{group}', of which the experiment chooses an option")


def test_experiment_that_is_not_there(refused: Refused, study: Study) -> None:
    study("shapes/dit", "")
    told = refused("sample", "experiment=shapes/dti")
    assert told == "group 'experiment' has no option 'shapes/dti'; did you mean 'shapes/dit'?"


def test_an_empty_mapping_takes_any_keys() -> None:
    keys = {"a": {}, "b": {"c": 1}}
    assert list(_extra(keys, {"a": {"x": 1}, "b": {"c": 2}})) == []
    assert list(_extra(keys, {"b": {"d": 2}, "e": 1})) == ["b.d", "e"]
    assert [key for key, _ in leaves(keys)] == ["a", "b.c"]


@pytest.mark.parametrize(
    ("default", "value", "fits"),
    [
        (None, 3, True),
        (None, [1], True),
        ("???", {"a": 1}, True),
        ([1, 2], [3], True),
        ([1, 2], [], True),
        ([1, 2], ["a"], False),
        ([1.0], [1], True),
        ([1, "a"], [True], True),
        ([[1]], [["a"]], False),
        ([1], 1, False),
        (1.0, 1, True),
        (1, True, False),
        (True, 1, False),
    ],
)
def test_types_follow_the_default(default: object, value: object, fits: bool) -> None:
    assert (mismatch(default, value) is None) is fits


def test_types_of_the_signature_pass_where_the_default_shows_another() -> None:
    values = [
        "trainer.devices=[0]",
        "trainer.precision=32",
        "trainer.val_check_interval=0.5",
        "trainer.max_time=1:00:00",
    ]
    values += ["trainer.limit_train_batches=10", "trainer.deterministic=warn", "optimizer.lr=1", "optimizer.fused=true"]
    values += ["optimizer.betas=[0,0.9]", "guidance.guided_channels=3", "conditioner.head_width=8"]
    config = validate("train", values)
    assert (config.trainer.devices, config.trainer.precision, config.trainer.deterministic) == ([0], 32, "warn")
    assert (config.optimizer.lr, config.optimizer.betas, config.conditioner.head_width) == (1, [0, 0.9], 8)
    config = validate(
        "train", ["trainer.devices=auto", "trainer.max_time={hours: 2}", "trainer.limit_train_batches=0.5"]
    )
    assert (config.trainer.devices, config.trainer.max_time) == ("auto", {"hours": 2})
    config = validate("sample", ["guidance=interval", "guidance.high=null", "compile=true"], checks=find("sample"))
    assert (config.guidance.high, config.compile) == (None, True)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("trainer.devices=1.5", "this key takes a list, written [A,B] or text or a whole number, as its default 1"),
        ("trainer.gradient_clip_val=abc", "this key takes a number or null"),
        ("trainer.logger=false", "trainer.logger: choose them by logger=[csv,wandb]"),
        pytest.param(
            "trainer.fast_dev_run=maybe", "this key takes a whole number or true or false", marks=pytest.mark.slow
        ),
        pytest.param("optimizer.fused=abc", "this key takes true or false or null", marks=pytest.mark.slow),
        ("optimizer.weight_decay=null", "this key takes a number, as its default 0.0"),
        ("optimizer.betas=[0.9]", "this key takes a list of 2"),
        ("guidance.scale=inf", "guidance.scale=inf: this key takes a finite number"),
        pytest.param("data.heldout_path=3", "this key takes text or null", marks=pytest.mark.slow),
        ("precision=32", "precision=32: input should be 'auto', 'bf16', 'fp16', 'tf32' or 'fp32'"),
        pytest.param("compile=maybe", "compile=maybe: input should be 'auto', True or False", marks=pytest.mark.slow),
    ],
)
def test_types_that_no_signature_has_are_refused(refused: Refused, override: str, told: str) -> None:
    assert told in refused("train", override)
