"""Values of Python come back from Hydra's grammar as they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ldmlab.configs.overrides import parse as parse_overrides
from ldmlab.configs.quoting import override

pytest.importorskip("hypothesis", exc_type=ImportError)

from hypothesis import given, settings
from hypothesis import strategies as st

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
WORDS = st.from_regex(r"[a-z_]+", fullmatch=True).filter(lambda word: word not in ("null", "true", "false"))
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


def read(value: Any) -> Any:
    (parsed,) = parse_overrides([override("key", value)])
    return parsed.value()


@given(VALUES)
@settings(max_examples=60, deadline=None)
def test_values_come_back(value: Any) -> None:
    assert plain(read(value)) == value


def plain(value: Any) -> Any:
    """Without the quotes that the grammar remembers."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {plain(name): plain(each) for name, each in value.items()}
    return getattr(value, "text", value)


def test_what_python_has_besides() -> None:
    assert read(Path("a b/c.png")) == "a b/c.png"
    assert read(np.float32(0.5)) == 0.5
    assert read(np.array([1, 2])) == read((1, 2)) == [1, 2]
    assert [plain(each) for each in read({"café": 2, "big star": [1, 2]})] == ['"caf\\u00e9": 2', '"big star": [1, 2]']
    with pytest.raises(ValueError, match="key: a object is no setting"):
        override("key", object())
