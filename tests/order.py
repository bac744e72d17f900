"""The order of tests: those of slow files first, so that the workers end together."""

from __future__ import annotations

import pytest

SLOWEST = (
    "smoke/test_commands.py",
    "pages/test_pages.py",
    "unit/cli/test_launch.py",
    "smoke/test_edit.py",
    "contract/test_building.py",
    "numerical/test_inversion.py",
    "unit/cli/test_describe.py",
    "unit/configs/test_validate.py",
    "smoke/test_bad_input.py",
    "numerical/interop/test_commands.py",
    "contract/test_combinations.py",
    "smoke/test_diffusion_choices.py",
    "contract/test_no_copies.py",
    "unit/data/test_datamodule.py",
    "numerical/test_attention_shapes.py",
)
"""Files that take longest, the longest first."""


def slowest_first(items: list[pytest.Item]) -> None:
    """Sort in place. Tests of a file stay together, and share its fixtures."""
    rank = {f"tests/{name}": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
