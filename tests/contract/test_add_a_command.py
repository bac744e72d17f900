"""A command is one module and one yaml: nothing else of the command line knows its name."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ldmlab.cli import command, commands
from ldmlab.cli.main import main
from ldmlab.configs import catalogue
from ldmlab.paths import conf_dir

MODULE = """
from ldmlab.cli.command import Command, Words
from ldmlab.configs.keys import Count, Keys


class GreetKeys(Keys):
    names: list[str] | None
    times: Count


def run(cfg):
    print(*cfg.times * list(cfg.names))


COMMAND = Command(
    keys=GreetKeys,
    run=run,
    summary="greet somebody",
    synopsis="ldmlab greet NAME ...",
    description=("Says hello.",),
    examples=(("ldmlab greet Ada", "once"),),
    words=Words("names", "name", several=True),
)
"""
YAML = """\
defaults:
  - _self_
  - hydra/run: none
  - override hydra/job_logging: console

names: null  # whom
times: 1  # how often
"""


@pytest.fixture
def greet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """`ldmlab greet`, in folders that stand in for cli/commands/ and conf/."""
    (tmp_path / "commands").mkdir()
    (tmp_path / "conf").mkdir()
    for path in (*command.FOLDER.glob("[!_]*.py"), *conf_dir().iterdir()):
        (tmp_path / ("commands" if path.suffix == ".py" else "conf") / path.name).symlink_to(path)
    (tmp_path / "commands/greet.py").write_text(MODULE)
    (tmp_path / "conf/greet.yaml").write_text(YAML)
    monkeypatch.setattr(command, "FOLDER", tmp_path / "commands")
    monkeypatch.setattr(commands, "__path__", [*commands.__path__, str(tmp_path / "commands")])
    monkeypatch.setattr("ldmlab.paths._home", lambda: tmp_path)
    command.names.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield
    command.names.cache_clear()
    sys.modules.pop("ldmlab.cli.commands.greet", None)


def test_a_new_command_is_listed_explained_checked_and_run(greet: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert re.search(r"^  greet +greet somebody$", capsys.readouterr().out, re.MULTILINE)
    assert main(["greet", "--help"]) == 0
    assert re.search(r"^ +times=1 +how often$", capsys.readouterr().out, re.MULTILINE)
    assert main(["greet", "Ada", "times=2"]) == 0
    assert capsys.readouterr().out == "Ada Ada\n"
    assert main(["greet", "Ada", "times=0"]) == 2
    assert capsys.readouterr().err.startswith("ldmlab: times=0: input should be greater than or equal to 1")
    assert main(["greet", "tims=2"]) == 2
    assert capsys.readouterr().err == "ldmlab: unknown key 'tims'; did you mean 'times'?\n"


@pytest.mark.parametrize("path", sorted((command.FOLDER.parent).glob("*.py")), ids=lambda path: path.name)
def test_the_command_line_knows_no_command_by_name(path: Path) -> None:
    """But for what a page shows as first steps."""
    names = [name for name in command.names() if name not in catalogue.all_groups()]
    quoted = re.findall(r"\"(\w+)\"", path.read_text())
    assert not {*quoted} & {*names}
