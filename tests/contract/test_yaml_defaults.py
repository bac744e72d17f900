"""Values in conf/ that repeat a constructor's default are equal to it; those that differ say why."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import get_object

from ldmlab.paths import conf_dir

FILES = sorted(
    path for path in conf_dir().glob("*/**/*.yaml") if "experiment" not in path.relative_to(conf_dir()).parts
)


def defaults_of(factory: Callable[..., Any]) -> dict[str, Any]:
    """The arguments of a constructor that may be left out, and what they are then."""
    parameters = inspect.signature(factory).parameters.values()
    return {p.name: p.default for p in parameters if p.default is not p.empty}


def same(value: Any, default: Any) -> bool:
    """Whether a value of a yaml is that of Python; a list stands for a tuple."""
    if isinstance(default, tuple):
        default = list(default)
    return bool(value == default) and isinstance(value, bool) == isinstance(default, bool)


def is_explained(lines: list[str], number: int) -> bool:
    """Whether there is a comment on a line, or one of its own above it that is not the file's first line."""
    above = lines[number - 1].strip() if number > 1 else ""
    return " #" in lines[number] or above.startswith("#")


def unexplained(text: str) -> Iterator[str]:
    """The keys with another value than the default of the constructor that their section names, and no comment."""
    root, lines = yaml.compose(text), text.splitlines()
    sections = [root] if isinstance(root, yaml.MappingNode) else []
    while sections:
        entries = {key.value: (key, value) for key, value in sections.pop().value}
        sections += [value for _, value in entries.values() if isinstance(value, yaml.MappingNode)]
        if "_target_" not in entries:
            continue
        target = entries["_target_"][1].value
        defaults = defaults_of(get_object(target))
        for name in entries.keys() & defaults.keys():
            key, node = entries[name]
            value = yaml.safe_load(yaml.serialize(node))
            left_open = isinstance(value, str) and (value == "???" or value.startswith("${"))
            if not (left_open or same(value, defaults[name]) or is_explained(lines, key.start_mark.line)):
                yield f"{name}: {value!r}, where {target} has {defaults[name]!r}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(conf_dir())))
def test_a_repeated_default_is_the_default(path: Path) -> None:
    assert list(unexplained(path.read_text())) == []


def test_some_defaults_are_repeated() -> None:
    """Else nothing above looks at anything."""
    assert sum(path.read_text().count("_target_: ldmlab.") for path in FILES) > 50


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("steps: 50", 0),
        ("steps: 49", 1),
        ("steps: 49  # fewer", 0),
        ("# Fewer.\nsteps: 49", 0),
        ("steps: 49\n# Of the next key.\neta: 0.0", 1),
        ("eta: 0.5\nsteps: 49", 2),
        ("eta: false", 1),
        ("steps: ???\neta: ${seed}", 0),
        ("unknown: 1", 0),
    ],
)
def test_another_value_is_found(line: str, found: int) -> None:
    section = f"# A sampler.\n_target_: ldmlab.samplers.ddim.DDIM\n{line}\n"
    nested = "# A sampler in a section.\n" + "".join(f"  {row}\n" for row in section.splitlines()[1:])
    nested = nested.replace("  _target_", "sampler:\n  _target_", 1)
    assert len(list(unexplained(section))) == len(list(unexplained(nested))) == found


def test_whether_jobs_are_swept_is_said_on_the_command_line_alone() -> None:
    assert not [path for path in conf_dir().rglob("*.yaml") if "MULTIRUN" in path.read_text()]
