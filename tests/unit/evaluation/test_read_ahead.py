"""A batch is read while the one before it is used, and each once."""

from __future__ import annotations

from threading import Event, current_thread, main_thread
from typing import Any

import pytest

from ldmlab.evaluation.read_ahead import read_ahead

PARTS = [range(0, 3), range(6, 9), range(9, 10)]


def test_the_next_batch_is_read_while_one_is_used() -> None:
    begun = {part.start: Event() for part in (*PARTS, range(3, 6))}
    read: list[int] = []

    def reading(part: range) -> dict[str, Any]:
        assert current_thread() is not main_thread()
        begun[part.start].set()
        read.append(part.start)
        return {"numbers": list(part)}

    with read_ahead(reading, PARTS) as take:
        assert take(PARTS[0])["numbers"] == [0, 1, 2]
        assert begun[6].wait(10)
        assert not begun[9].is_set()
        assert take(range(3, 6))["numbers"] == [3, 4, 5]  # which was not announced
        assert [take(part)["numbers"] for part in PARTS[1:]] == [[6, 7, 8], [9]]
    assert sorted(read) == [0, 3, 6, 9]


def test_an_error_comes_with_its_own_batch() -> None:
    def reading(part: range) -> dict[str, Any]:
        if part.start == 6:
            raise ValueError("damaged")
        return {}

    with read_ahead(reading, PARTS) as take:
        assert take(PARTS[0]) == {}
        with pytest.raises(ValueError, match="damaged"):
            take(PARTS[1])
