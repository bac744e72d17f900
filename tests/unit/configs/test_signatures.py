from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Literal

import pytest
from torch import Tensor

from ldmlab.configs.signatures import annotation, fits, in_words


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (1, float),
        (1, float | Tensor),
        ([0.9, 1], tuple[float, float]),
        ([1, 2], Sequence[int]),
        ([], list[str]),
        ({"hours": 1}, str | timedelta | dict[str, int]),
        ("warn", bool | Literal["warn"]),
        (None, int | None),
    ],
)
def test_values_that_fit(value: Any, wanted: Any) -> None:
    assert fits(value, wanted)


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (True, int),
        (True, float),
        (1, bool),
        (1, str),
        ("1", int),
        (1.0, int),
        ("x", float | Tensor),
        ([0.9], tuple[float, float]),
        ([1, "a"], Sequence[int]),
        ({"a": 1}, list[str]),
        (None, int),
        ("x", Callable[[], None]),
    ],
)
def test_values_that_do_not(value: Any, wanted: Any) -> None:
    assert not fits(value, wanted)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (int | float | None, "a number or null"),
        (float | Tensor, "a number"),
        (tuple[float, float], "a list of 2"),
        (tuple[int, ...] | str, "a list, written [A,B] or text"),
        (Mapping[str, int] | timedelta, "{KEY: VALUE}"),
        (Literal["norm", "value"] | bool, "norm or value or true or false"),
    ],
)
def test_types_in_words(wanted: Any, words: str) -> None:
    assert in_words(wanted) == words


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("torch.optim.AdamW", "nothing"),
        ("no.such.Class", "a"),
        ("ldmlab.samplers.heun.Heun", "eta"),
        ("os.getcwd", "a"),
    ],
)
def test_where_a_signature_says_nothing(target: str, name: str) -> None:
    assert annotation(target, name) is None


def test_what_a_signature_says_of_a_parameter_that_is_inherited() -> None:
    assert annotation("ldmlab.samplers.heun.Heun", "steps") is int
