"""What stands after `ldmlab <command>`: Hydra's overrides, a few flags, and for `sample` the prompts."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from ldmlab.cli.command import Words, find
from ldmlab.cli.queue_words import for_launcher, split
from ldmlab.configs import catalogue
from ldmlab.configs.errors import UserError
from ldmlab.configs.filters import with_expressions
from ldmlab.configs.keys import verbatim
from ldmlab.configs.quoting import quoted
from ldmlab.configs.suggest import nearest
from ldmlab.configs.urls import with_urls
from ldmlab.paths import expand_home

_OVERRIDE = re.compile(r"[+~]|[^\s=]+=")
_QUOTED = r"""\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'"""
_HOME = re.compile(rf"""{_QUOTED}|(?P<before>^|[,\[]\s*)(?P<path>~[^,\[\]{{}}\"']*)""")
"""A path that begins in somebody's home, and text in quotes, which stays as it is."""


@dataclass(frozen=True)
class Arguments:
    """A command line, taken apart.

    Attributes:
        overrides: for Hydra, with the prompts among them.
        flags: those that Hydra itself understands.
        parsed: what the flags say.
    """

    overrides: list[str]
    flags: list[str]
    parsed: argparse.Namespace

    @property
    def shows(self) -> bool:
        """Whether the config of the command is printed, and not run."""
        return bool(self.parsed.cfg or self.parsed.info) and not (self.parsed.config_name or self.parsed.config_path)

    @property
    def searched(self) -> list[str]:
        """The overrides with the user's folder of configs among them, for what composes without flags."""
        folder = self.parsed.config_dir
        search = [] if folder is None else [f"hydra.searchpath=[{quoted(f'file://{folder}')}]"]
        return [*search, *self.overrides]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        unknown = re.search(r"unrecognized arguments: (\S+)", message)
        known = [name for action in self._actions for name in action.option_strings]
        if unknown is None:
            raise UserError(message)
        meant = nearest(unknown[1], known)
        advice = "keys are written KEY=VALUE, without dashes" if meant is None else f"did you mean '{meant}'?"
        raise UserError(f"unknown flag '{unknown[1]}'; {advice}")


def parse(command: str, argv: Sequence[str]) -> Arguments:
    """Take a command line apart.

    Raises:
        UserError: an unknown flag, a word that is no override where the command takes no prompts, or one that is no
            UTF-8 text.
    """
    _require_text(argv)
    own, parser = find(command), _parser(command)
    argv, handed_on = split(command, argv) if own.hands_on else (argv, [])
    parsed = parser.parse_intermixed_args(argv)
    words = [word for word in parsed.overrides if not _OVERRIDE.match(word)]
    overrides = [word for word in parsed.overrides if _OVERRIDE.match(word)]
    if not parsed.multirun:
        overrides = [_quoted_as_whole(override, verbatim(own.keys)) for override in overrides]
    overrides = for_launcher([_at_home(override) for override in with_urls(with_expressions(overrides))])
    if own.words is not None and own.words.several:
        _refuse_word_with_equals(command, own.words, overrides)
    if words and own.words is not None:
        overrides.append(_words_override(own.words, words, overrides))
    elif words:
        raise UserError(f"'{words[0]}' is not of the form KEY=VALUE{_meant(command, words[0])}")
    overrides += [f"{name}=true" for name in own.switches if getattr(parsed, name)]
    if handed_on:
        overrides.append(f"command=[{','.join(map(quoted, handed_on))}]")
        inner = parse(handed_on[0], handed_on[1:])
        parsed.config_dir = parsed.config_dir or inner.parsed.config_dir
    if parsed.config_dir is not None:
        parsed.config_dir = _folder("--config-dir", parsed.config_dir)
    if parsed.config_path is not None and "://" not in parsed.config_path:
        parsed.config_path = _folder("--config-path", parsed.config_path)
    if parsed.experimental_rerun is not None:
        _require_pickle(Path(parsed.experimental_rerun))
    return Arguments(overrides, _flags(parser, parsed, own.switches), parsed)


def _require_text(argv: Sequence[str]) -> None:
    """Bytes that are no UTF-8 come as surrogates, which neither a prompt nor a file of ours can hold."""
    for word in argv:
        shown = word.encode("utf-8", "backslashreplace").decode()
        if shown != word:
            raise UserError(f"the argument '{shown}' is no UTF-8 text; write it in UTF-8 (see `locale`)")


def _parser(command: str) -> argparse.ArgumentParser:
    parser = _Parser(add_help=False, allow_abbrev=False, parents=[get_args_parser()])
    for name in find(command).switches:
        parser.add_argument(f"--{name}", action="store_true")
    return parser


def _flags(parser: argparse.ArgumentParser, parsed: argparse.Namespace, switches: Container[str]) -> list[str]:
    """The flags that were given, for Hydra's own parser."""
    found = []
    for action in parser._actions:
        value = getattr(parsed, action.dest, action.default)
        if action.option_strings and value != action.default and action.dest not in switches:
            name = action.option_strings[0]
            found.append(name if value is True else f"{name}={value}" if name.startswith("--") else f"{name}{value}")
    return found


def _words_override(kind: Words, words: Sequence[str], overrides: Iterable[str]) -> str:
    """The words of a command line as the key that takes them."""
    if any(override.lstrip("+").startswith(f"{kind.key}=") for override in overrides):
        raise UserError(f"'{words[0]}' and {kind.key}= give a {kind.kind} both; keep one of the two")
    for word in words:
        if not word.strip() or word == "???":
            raise UserError(f"the {kind.kind} '{word}' says nothing; write what is meant")
    if kind.several:
        return f"{kind.key}=[{','.join(map(quoted, words))}]"
    if len(words) > 1:
        raise UserError(f"'{words[-1]}': one {kind.kind} at a time; give one {kind.key}")
    return f"{kind.key}={quoted(words[0])}"


def _refuse_word_with_equals(command: str, kind: Words, overrides: Iterable[str]) -> None:
    """A sentence with `=` in its first word reads as an override of a key that is not there."""
    known = {key.name for key in catalogue.keys(command)} | {*catalogue.all_groups(), "hydra"}
    for override in overrides:
        key, _, value = override.partition("=")
        if " " in value.strip() and re.split(r"[./@]", key)[0] not in known and key[0] not in "+~":
            meant = nearest(key, known)
            advice = f"did you mean '{meant}'?" if meant is not None else _as_word(kind, override)
            raise UserError(f"unknown key '{key}'; {advice}")


def _as_word(kind: Words, text: str) -> str:
    return f"a {kind.kind} with '=' in its first word is written {shlex.quote(f'{kind.key}=[{quoted(text)}]')}"


def _quoted_as_whole(override: str, keys: Container[str]) -> str:
    """A single prompt may hold commas and brackets; with -m its commas separate the values of a sweep."""
    key, _, value = override.partition("=")
    if key not in keys or not value or value == "null" or value[0] in "\"'":
        return override
    return f"{key}={quoted(value)}"


def _at_home(override: str) -> str:
    """With the user's home in the place of a `~` that begins a value; Hydra cannot read one."""
    key, equals, value = override.partition("=")
    return key + equals + _HOME.sub(_expanded, value)


def _expanded(found: re.Match[str]) -> str:
    return found[0] if found["path"] is None else f"{found['before']}{quoted(expand_home(found['path']))}"


def _folder(flag: str, given: str) -> str:
    folder = Path(expand_home(given))
    if not folder.is_dir():
        raise UserError(f"{flag} {folder}: no such folder")
    return str(folder.resolve())


def _require_pickle(path: Path) -> None:
    """Hydra would show a trace of a file that is something else."""
    if not path.is_file():
        raise UserError(f"--experimental-rerun {path}: no such file")
    with path.open("rb") as file:
        if file.read(1) != b"\x80":
            raise UserError(
                f"--experimental-rerun {path}: is no config.pickle, as Hydra's PickleJobInfoCallback writes"
            )


def _meant(command: str, word: str) -> str:
    """Guess which group an option without its group was meant for, one of the command's first; or say what a key is."""
    if word in {key.name for key in catalogue.keys(command)}:
        return f"; write {word}=VALUE"
    own = [group.name for group in catalogue.groups(command)]
    for group in dict.fromkeys([*own, *catalogue.all_groups()]):
        found = nearest(word, catalogue.options(group))
        if found is not None:
            return f"; did you mean '{group}={found}'?"
    return ""
