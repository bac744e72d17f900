from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from omegaconf import DictConfig

from ldmlab.cli.command import find
from ldmlab.configs.compose import validate
from ldmlab.configs.errors import UserError
from ldmlab.paths import conf_dir


@pytest.fixture
def refused() -> Callable[..., str]:
    """Return what is said of a command line that must be refused."""

    def refuse(command: str, *overrides: str) -> str:
        with pytest.raises(UserError) as raised:
            validate(command, overrides, checks=find(command))
        assert "\n" not in str(raised.value)
        return str(raised.value)

    return refuse


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put experiments into a temporary folder that stands in for experiments/."""
    home = tmp_path.parent / f"{tmp_path.name}-home"
    folder = home / "conf/experiment"
    folder.mkdir(parents=True)
    for path in conf_dir().iterdir():
        if path.name != "experiment":
            (home / "conf" / path.name).symlink_to(path)
    monkeypatch.setattr("ldmlab.paths._home", lambda: home)

    def write(name: str, body: str) -> None:
        path = folder / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# @package _global_\n{body}")

    return write


@pytest.fixture
def body(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Stand in for the body of a command, `sample` if no other is named, and run in a temporary folder."""
    monkeypatch.chdir(tmp_path)

    def install(run: Callable[[DictConfig], None], command: str = "sample") -> None:
        module = import_module(f"ldmlab.cli.commands.{command}")
        monkeypatch.setattr(module, "COMMAND", replace(find(command), run=run))

    return install
