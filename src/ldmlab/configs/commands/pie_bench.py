"""The config of `ldmlab pie_bench`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from ldmlab.configs.checks import NO_ADAPTER, Checks
from ldmlab.configs.keys import Count, ManyKeys, PathText

if TYPE_CHECKING:
    from omegaconf import DictConfig


class PieBenchKeys(ManyKeys):
    """`ldmlab pie_bench`."""

    path: PathText
    methods: Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]
    n: Count | None
    categories: Annotated[list[str | int], Field(min_length=1)] | None
    words: bool
    save_pictures: bool
    figure: str | None


def check_methods(config: DictConfig) -> None:
    """Refuse entries of `methods` that `ldmlab edit` would refuse, see `compose_methods`."""
    from ldmlab.configs.methods import compose_methods

    compose_methods(config.methods)


CHECKS = Checks(
    keys=PieBenchKeys,
    rules=(NO_ADAPTER,),
    reads={"path": "no such folder; give one with PIE-Bench's mapping_file.json and annotation_images/"},
    check=check_methods,
)
