from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml

from ldmlab.cli.command import names
from ldmlab.configs import catalogue
from ldmlab.paths import conf_dir


@pytest.mark.parametrize("command", names())
def test_every_key_of_a_command_has_a_meaning(command: str) -> None:
    listed = {key.name: key for key in catalogue.keys(command)}
    written = yaml.safe_load((conf_dir() / f"{command}.yaml").read_text())
    own = {name.partition(".")[0] for name, key in listed.items() if not key.where}
    assert own >= set(written) - {"defaults"}
    assert all(key.meaning for key in listed.values())


def test_keys_that_an_option_adds_say_so() -> None:
    keys = {key.name: key for key in catalogue.keys("train")}
    assert keys["cache_latents"].where == "model=latent_diffusion"
    assert keys["grid_prompts"].default == "null"
    assert "model" not in keys
    assert (catalogue.keys("data")[0].name, catalogue.keys("data")[0].where) == ("data.path", "")
    assert not [key for key in catalogue.keys("edit") if key.where]


@pytest.mark.parametrize("command", names())
def test_default_of_every_group_is_one_of_its_options(command: str) -> None:
    for group in catalogue.groups(command):
        assert group.default is None or group.default in catalogue.options(group.name)


def test_a_config_built_on_another_has_its_keys_and_groups() -> None:
    own = {key.name for key in catalogue.keys("describe")}
    assert own > {key.name for key in catalogue.keys("train")}
    assert catalogue.groups("describe") == catalogue.groups("train")


def test_groups_that_a_choice_brings_in_say_so() -> None:
    groups = {group.name: group for group in catalogue.groups("train")}
    assert groups["backbone"].where == "model=latent_diffusion"
    assert groups["trainer"].where == ""
    assert "dataset" not in groups


def test_options_of_experiments_are_paths(study: Callable[[str, str], None]) -> None:
    study("shapes/dit", "")
    study("quick", "")
    assert catalogue.options("experiment") == ["quick", "shapes/dit"]
    assert "experiment" in catalogue.all_groups()


def test_hydras_own_groups_are_left_out() -> None:
    assert "hydra" not in catalogue.all_groups()
    assert not [group for command in names() for group in catalogue.groups(command) if "hydra" in group.name]
