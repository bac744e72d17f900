"""Networks whose weights come from a file of the user's: extractors, and metrics that have one of their own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ldmlab.configs.errors import as_user_error

if TYPE_CHECKING:
    from omegaconf import DictConfig

KEY = "weights"


def require_weights(config: DictConfig) -> None:
    """Refuse an extractor, or a metric, whose weights are not there, before a model is loaded.

    Args:
        config: whole, with the groups `extractor` and `metric`; metrics of some tasks alone are looked at when they
            are built.

    Raises:
        UserError: naming the section, and what its constructor says is to be given.
    """
    from hydra.utils import instantiate

    metrics = [each for each in (config.get("metric") or {}).values() if each and "_target_" in each]
    for section in (config.get("extractor"), *metrics):
        if section and any(_is_absent(weights) for weights in _weights(section)):
            with as_user_error():
                instantiate(section)


def _weights(section: DictConfig) -> Iterator[object]:
    """The values of the keys for weights in a section and below."""
    from omegaconf import DictConfig

    for name, value in section.items():
        if isinstance(value, DictConfig):
            yield from _weights(value)
        elif name == KEY:
            yield value


def _is_absent(weights: object) -> bool:
    return weights is None or not Path(str(weights)).is_file()
