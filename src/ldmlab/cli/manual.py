"""The manual: what `ldmlab --help` and `ldmlab <command> --help` print. Imports nothing heavy."""

from __future__ import annotations

from textwrap import fill, indent

from ldmlab.cli.command import find, names
from ldmlab.configs import catalogue
from ldmlab.configs.errors import UserError
from ldmlab.configs.suggest import hint

WIDTH = 88


FLAGS = {
    "--cfg job": "print the composed config instead of running (also: hydra, all)",
    "--resolve": "with --cfg: fill in references between keys",
    "--info": "print how the config was composed (also: --info defaults, searchpath, ...)",
    "-m, --multirun": "run once for each combination of KEY=A,B,C",
    "-cd, --config-dir DIR": "a further folder of config groups, beside ldmlab's own",
    "-cn, --config-name NAME": "a config of yours in the place of the command's, as a yaml in --config-dir",
    "-cp, --config-path DIR": "a folder of yours in the place of ldmlab's configs",
    "--experimental-rerun FILE": "run what a .hydra/config.pickle holds, in a new folder",
    "-sc install=bash": 'completion: eval "$(ldmlab -sc install=bash)", also for zsh and fish',
    "--hydra-help": "what Hydra itself understands",
    "-h, --help [GROUP[=OPTION]]": "this page; the options of a group; the keys of an option",
}

EXIT_STATUS = {
    "0": "done",
    "1": "a bug in ldmlab, with its trace",
    "2": "bad input, with one line that says what to mend",
    "130": "interrupted",
}

OVERVIEW = """\
ldmlab - an experiment platform for latent diffusion

Usage: ldmlab COMMAND [PROMPT ...] [KEY=VALUE ...] [FLAGS]

Commands:
{commands}

First steps:
  ldmlab sample "a small red circle left of a big blue square"
  ldmlab data dataset=shapes
  ldmlab train experiment=shapes/dit

Every command takes Hydra overrides: KEY=VALUE sets a key, GROUP=OPTION chooses a
component, GROUP.KEY=VALUE sets a key of it. `ldmlab COMMAND --help` lists them all.

Flags:
  -h, --help       this page
  --version        the version

Set LDMLAB_TRACE=1 to see the trace of every error.
"""


def overview() -> str:
    """The first page."""
    return OVERVIEW.format(commands=_table({name: find(name).summary for name in names()}, 2).rstrip())


def page(command: str) -> str:
    """The page of a command."""
    entry = find(command)
    sections = {
        "NAME": f"    ldmlab {command} - {entry.summary}\n",
        "SYNOPSIS": f"    {entry.synopsis}\n",
        "DESCRIPTION": "\n".join(_paragraph(text) for text in entry.description),
        "KEYS": _keys(command),
        "GROUPS": _groups(command),
        "FLAGS": _table({f"--{name}": f"the same as {name}=true" for name in entry.switches} | FLAGS),
        "EXAMPLES": "\n".join(f"    {line}\n        {meaning}\n" for line, meaning in entry.examples),
        "EXIT STATUS": _table(EXIT_STATUS),
    }
    return "\n".join(f"{title}\n{body}" for title, body in sections.items() if body)


def topic(command: str, name: str) -> str:
    """What a command's groups and options consist of.

    Args:
        command: whose page the topic belongs to.
        name: GROUP lists its options, GROUP=OPTION the keys of one.

    Raises:
        UserError: no such group or option.
    """
    group, _, option = name.partition("=")
    known = [each.name for each in catalogue.groups(command)]
    if group not in known:
        raise UserError(f"--help {name}: '{command}' has no group '{group}'{hint(group, known)}")
    names = _options(command, group)
    if not option:
        rows = {f"{group}={each}": catalogue.summary(group, each) for each in names}
        return f"{_table(rows)}\n{_paragraph(f'ldmlab {command} --help {group}=NAME lists the keys of an option.')}"
    if option not in names:
        raise UserError(f"--help {name}: group '{group}' has no option '{option}'{hint(option, names)}")
    rows = {f"{key.name}={key.default}": key.meaning for key in catalogue.option_keys(group, option)}
    inside = group != "experiment" and not catalogue.is_global(group, option)
    rows = {f"{group}.{key}" if inside else key: meaning for key, meaning in rows.items()}
    return f"{_paragraph(catalogue.summary(group, option))}\n{_table(rows)}"


def _keys(command: str) -> str:
    """The keys of the command, each with its default, its meaning, and the choice that brings it in."""
    return _table(
        {
            f"{key.name}={key.default}": key.meaning + (f"  [{key.where}]" if key.where else "")
            for key in catalogue.keys(command)
        }
    )


def _groups(command: str) -> str:
    rows = {}
    for group in catalogue.groups(command):
        options = _options(command, group.name) or ["yours"]
        names = [f"{option}*" if option == group.default else option for option in options]
        place = catalogue.place(group)
        where = group.where if place == group.name else f"{group.where}, as {place}="
        rows[f"{group.name}="] = " | ".join(names) + (f"  [{where}]" if where else "")
    footer = (
        "An asterisk marks the default. GROUP.KEY=VALUE sets a key of the chosen option: --help GROUP says what the "
        "options are, --help GROUP=OPTION what keys one has, and --cfg job shows all that are chosen."
    )
    return f"{_table(rows)}\n{_paragraph(footer)}" if rows else ""


def _options(command: str, group: str) -> list[str]:
    return catalogue.options(group) if group != "experiment" else catalogue.experiments(command)


def _paragraph(text: str) -> str:
    return indent(fill(text, WIDTH - 4), "    ") + "\n"


def _table(rows: dict[str, str], margin: int = 4) -> str:
    """Two columns; a left entry too wide for its column has the right one on the next line."""
    left = min(max(map(len, rows), default=0), 28) + 2
    lines = []
    for name, text in rows.items():
        body = fill(text, max(WIDTH - margin - left, 20)).replace("\n", "\n" + " " * (margin + left))
        head = " " * margin + name
        gap = "\n" + " " * (margin + left) if len(name) > left - 2 else " " * (left - len(name))
        lines.append(f"{head}{gap}{body}".rstrip())
    return "\n".join(lines) + "\n"
