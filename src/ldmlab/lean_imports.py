"""Lets the submodules of some packages be imported without the rest of the package.

The root of torchmetrics imports every metric there is, and with them torchvision, scipy.signal and, where it is
installed, transformers: twice what torch itself takes, and Lightning wants two names of it. That of open_clip is like
it, and a network and a tokenizer are wanted. Here such a root is empty at first; what is asked of it that neither a
submodule nor the table below gives makes it run as it would have, so nothing is missing, only later (but for plots of
torchmetrics, which nothing draws). It is installed by commands alone, and no other thread of theirs imports these.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

ROOTS: Mapping[str, Mapping[str, str]] = {
    "open_clip": {},
    "torchmetrics": {
        "Metric": "torchmetrics.metric",
        "MetricCollection": "torchmetrics.collections",
        "__version__": "torchmetrics.__about__",
    },
    "torchmetrics.functional": {},
    "torchmetrics.functional.image": {},
    "torchmetrics.image": {},
    "torchmetrics.utilities": {},
}
"""Packages by name, and in which of their modules those names live that others import from the root."""
SET_BY_IMPORT = ("__path__", "__file__", "__cached__")
"""Attributes of a module that the import system looks for before it sets them."""


def install() -> None:
    """Find those packages so, from now on."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in ROOTS else None
        if spec is not None and spec.loader is not None:
            spec.loader = _Later(spec.loader)
        return spec


class _Later(Loader):
    """Stands before the loader of a root."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Root(spec, self.loader)

    def exec_module(self, module: ModuleType) -> None:
        if not isinstance(module, _Root):  # it has run, and is reloaded
            self.loader.exec_module(module)
        elif module.__name__ == "torchmetrics":
            _begin_torchmetrics(module)


class _Root(ModuleType):
    """A package whose own code has not run yet."""

    def __init__(self, spec: ModuleSpec, loader: Loader) -> None:
        super().__init__(spec.name)
        self._own = (spec, loader)

    def __getattr__(self, name: str) -> Any:
        home = ROOTS[self.__name__].get(name)
        if home is not None:
            return getattr(import_module(home), name)
        if name in SET_BY_IMPORT:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}' yet")
        if find_spec(f"{self.__name__}.{name}") is not None:
            return import_module(f"{self.__name__}.{name}")
        self.run()
        return getattr(self, name)

    def run(self) -> None:
        """Fill it as its own loader would have."""
        spec, loader = self._own
        del self._own
        self.__class__ = ModuleType  # type: ignore[assignment]
        spec.loader = self.__loader__ = loader
        loader.exec_module(self)


def _begin_torchmetrics(root: ModuleType) -> None:
    """What the rest of the package takes for granted: its logger, and `utilities` before `metric`."""
    vars(root)["_logger"] = logging.getLogger("torchmetrics")
    vars(import_module("torchmetrics.utilities.imports"))["_MATPLOTLIB_AVAILABLE"] = False  # nothing here plots with it
    utilities = import_module("torchmetrics.utilities")
    if isinstance(utilities, _Root):
        utilities.run()
