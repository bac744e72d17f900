"""What metrics take of a reference, kept for later measurements, so that its pictures are looked at once.

A file of the cache holds the states that one metric was left with, and says in its header all that they depend on; it
is taken where that is the same to the last character.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

import ldmlab
from ldmlab.atomic import atomic_file
from ldmlab.extractors.base import FeatureExtractor
from ldmlab.metrics.base import Metric
from ldmlab.metrics.manifest import package_versions
from ldmlab.paths import user_cache
from ldmlab.tensor_file import check, write_tensors

log = logging.getLogger(__name__)
ABOUT = "about"
"""The key of the header under which a file says what its states depend on, in JSON."""
ROOMS = ("extractors", "metrics", "pretrained")
"""Whose code decides what metrics are left with."""


@dataclass(frozen=True)
class ReferenceCache:
    """Files of states, in a folder of the user's that can be taken away at any time.

    Attributes:
        folder: of the files.
    """

    folder: Path

    @classmethod
    def of_user(cls) -> ReferenceCache:
        """In `$XDG_CACHE_HOME/ldmlab/references`, or in `~/.cache/ldmlab/references`."""
        return cls(user_cache() / "references")

    def load(self, about: Mapping[str, Any]) -> dict[str, Tensor] | None:
        """The states that depend on just this; None where there are none, or a damaged file.

        Args:
            about: plain JSON data, see `about`.
        """
        said, path = _as_text(about), self._path(about)
        try:
            check(path, "reference_cache")
            with safe_open(path, "pt") as file:
                if (file.metadata() or {}).get(ABOUT) != said:
                    return None
                return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
        except FileNotFoundError:
            return None
        except (OSError, ValueError, SafetensorError) as error:
            log.warning("%s cannot be read, and is made again: %s", path, error)
            return None

    def store(self, about: Mapping[str, Any], states: Mapping[str, Tensor]) -> None:
        """Keep states, where the folder can be written to."""
        path = self._path(about)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_file(path) as file:
                write_tensors(
                    file, {name: each.contiguous() for name, each in states.items()}, {ABOUT: _as_text(about)}
                )
        except OSError as error:
            log.warning("what was taken of the reference is not kept: %s", error)

    def _path(self, about: Mapping[str, Any]) -> Path:
        return self.folder / f"{hashlib.sha256(_as_text(about).encode()).hexdigest()[:32]}.safetensors"


def about(metric: Metric, extractor: FeatureExtractor | None, pictures: Mapping[str, Any]) -> dict[str, Any] | None:
    """All that the states depend on that pictures leave in a metric; None where that cannot be told.

    Args:
        metric: whose states they are.
        extractor: the network that it reads; None if it reads none.
        pictures: what identifies them, see `PictureSet.about`.
    """
    kind = _kind(type(metric))
    settings = _settings(metric)
    if kind is None or settings is None or not metric.joins:
        return None
    network = None
    if extractor is not None:
        device = str(getattr(extractor, "device", "cpu")).partition(":")[0]
        network = {"name": extractor.name, "sha256": extractor.weights_sha256, "device": device}
    versions = {name: version for name, version in package_versions().items() if name != "python"}
    return {
        "metric": kind,
        "settings": settings,
        "extractor": network,
        "pictures": dict(pictures),
        "versions": versions,
    }


def _settings(metric: Metric) -> dict[str, Any] | None:
    """The arguments that a metric was made with, which it has as attributes; None where one is no plain data."""
    names = [name for name in inspect.signature(type(metric)).parameters if name != "extractor"]
    try:
        settings = {name: getattr(metric, name) for name in names}
        json.dumps(settings)
    except (AttributeError, TypeError, ValueError):
        return None
    return settings


@cache
def _kind(kind: type[Metric]) -> dict[str, str] | None:
    """The name of a class, and a hash of the code that decides what it is left with: its own, and that of our rooms."""
    try:
        own = {Path(str(inspect.getsourcefile(each))) for each in kind.__mro__ if issubclass(each, Metric)}
        rooms = {path for room in ROOMS for path in Path(ldmlab.__file__).with_name(room).rglob("*.py")}
        digest = hashlib.sha256(b"".join(path.read_bytes() for path in sorted(own | rooms)))
    except (OSError, TypeError):
        return None
    return {"class": f"{kind.__module__}.{kind.__qualname__}", "code": digest.hexdigest()}


def _as_text(about: Mapping[str, Any]) -> str:
    return json.dumps(about, sort_keys=True)
