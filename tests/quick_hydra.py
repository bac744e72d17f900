"""Hydra and OmegaConf without what they do twice, or by a road made for any object; what is composed stays the same."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hydra import version
from hydra._internal import defaults_list
from hydra._internal.hydra import Hydra
from hydra._internal.sources_registry import SourcesRegistry
from hydra.core.plugins import Plugins
from hydra.plugins.config_source import ConfigResult
from omegaconf import DictConfig, ListConfig, _utils, base, grammar_parser
from omegaconf.base import Metadata, Node
from omegaconf.nodes import AnyNode, BooleanNode, FloatNode, IntegerNode, StringNode

T = TypeVar("T")
CONTAINERS = (DictConfig, ListConfig)
NODES = (*CONTAINERS, AnyNode, BooleanNode, FloatNode, IntegerNode, StringNode)


@contextmanager
def quick_hydra() -> Iterator[None]:
    """Inside the block, compose faster.

    Hydra composes a config once more to see its `hydra.mode`, which the command line alone sets here
    (contract/test_yaml_defaults.py), and makes a config of all choices for every file, for defaults that refer to one.
    It reads each file of its own and of ours for every config anew. OmegaConf parses the same interpolations again and
    again, makes and checks a node for every one that it copies, and imports two modules for every parent that it sets.
    """
    mode, choices, once = Hydra.get_mode, defaults_list._create_interpolation_map, cache(grammar_parser.parse)
    Plugins.instance()  # registers what reads the files of a package
    packages: Any = SourcesRegistry.instance().resolve("pkg")

    def mode_of_words(hydra: Hydra, config_name: str | None, overrides: list[str]) -> Any:
        return mode(hydra, config_name, overrides) if any("hydra.mode" in word for word in overrides) else None

    def choices_if_needed(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
        return choices(overrides, defaults, self_added) if any(each.is_interpolation() for each in defaults) else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", mode_of_words)
        patch.setattr(defaults_list, "_create_interpolation_map", choices_if_needed)
        patch.setattr(packages, "_read_config", _reading_once(packages))
        patch.setattr(version, "_get_version", cache(version._get_version))
        for module in (base, _utils):
            patch.setattr(module, "parse", once)
        for kind in NODES:
            patch.setattr(kind, "__deepcopy__", _copied)
        patch.setattr(base.Box, "_re_parent", _re_parent)
        patch.setattr(base.Container, "_invalidate_flags_cache", _forget_flags)
        yield


def _reading_once(source: Any) -> Callable[..., ConfigResult]:
    """Its way to read a file, which is read again when it has changed."""
    read, known = source._read_config, dict[tuple[Any, ...], ConfigResult]()

    def read_config(self: Any, file: Any) -> ConfigResult:
        if not isinstance(file, Path):
            return read(self, file)
        stat = file.stat()
        key = (self.path, self.provider, file, stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if key not in known:
            known[key] = read(self, file)
        return deepcopy(known[key])

    return read_config


def _copied(node: Node, memo: dict[int, Any]) -> Node:
    """A node as OmegaConf copies it: its parent stays, a value is shared, what it contains is copied."""
    copy = _twin(node)
    copy.__dict__.update(_metadata=_copied_metadata(node._metadata, memo), _flags_cache=None)
    content = node.__dict__.get("_content")
    if isinstance(content, dict):
        copy.__dict__["_content"] = {key: _child(each, copy, memo) for key, each in content.items()}
    elif isinstance(content, list):
        copy.__dict__["_content"] = [_child(each, copy, memo) for each in content]
    return copy


def _child(node: Node, parent: Node, memo: dict[int, Any]) -> Node:
    copy = _copied(node, memo) if type(node) in NODES else deepcopy(node, memo)
    copy.__dict__["_parent"] = parent
    return copy


def _children(node: Node) -> list[Node]:
    content = node.__dict__["_content"]
    if isinstance(content, dict):
        return [child for child in content.values() if child is not None]
    return content if isinstance(content, list) else []


def _re_parent(node: Node) -> None:
    """Make a node the parent of its children, and these of theirs."""
    for child in _children(node):
        child.__dict__["_parent"] = node
        child._invalidate_flags_cache()
        if type(child) in CONTAINERS:
            _re_parent(child)


def _forget_flags(node: Node) -> None:
    if node.__dict__["_flags_cache"] is not None:
        node.__dict__["_flags_cache"] = None
        for child in _children(node):
            child._invalidate_flags_cache()


def _copied_metadata(metadata: Metadata, memo: dict[int, Any]) -> Metadata:
    copy = _twin(metadata)
    copy.flags = None if metadata.flags is None else {**metadata.flags}
    copy.resolver_cache = deepcopy(metadata.resolver_cache, memo) if metadata.resolver_cache else defaultdict(dict)
    return copy


def _twin(value: T) -> T:
    """Another of its type, with the same attributes."""
    copy = object.__new__(type(value))
    copy.__dict__.update(value.__dict__)
    return copy
