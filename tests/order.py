"""The order of tests: those of slow files first, so that the workers end together."""

from __future__ import annotations

import pytest

SLOWEST = (
    "contract/test_building.py",
    "pages/test_pages.py",
    "smoke/test_commands.py",
    "unit/cli/test_describe.py",
    "contract/test_combinations.py",
    "unit/cli/test_launch.py",
    "smoke/test_edit.py",
    "numerical/interop/test_commands.py",
    "smoke/test_diffusion_choices.py",
    "unit/editing/prompts/test_prompt_to_prompt_control.py",
    "unit/api/test_guide.py",
    "contract/test_no_copies.py",
    "numerical/test_published_backbones.py",
    "smoke/test_bad_input.py",
    "numerical/test_inversion.py",
    "unit/training/test_resume.py",
    "unit/training/test_adapting.py",
    "unit/cli/test_sweep.py",
)
"""Files that take longest, the longest first."""


def slowest_first(items: list[pytest.Item]) -> None:
    """Sort in place. Tests of a file stay together, and share its fixtures."""
    rank = {f"tests/{name}": place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(item.nodeid.partition("::")[0], len(rank)))
