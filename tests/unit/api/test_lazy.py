"""`import ldmlab` is quick: whatever is used is imported then."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ldmlab

SCRIPT = """
import sys
before = set(sys.modules)
import ldmlab
ldmlab.__version__, dir(ldmlab)
print(sorted({name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
"""


def test_nothing_is_imported_before_it_is_used() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["['ldmlab']"]


def test_every_name_is_there_with_its_documentation() -> None:
    for name in ldmlab.__all__:
        assert getattr(ldmlab, name).__doc__, name
    assert set(ldmlab.__all__) <= set(dir(ldmlab))
    with pytest.raises(AttributeError, match="has no attribute 'smaple'"):
        ldmlab.smaple  # noqa: B018 - that is the question
