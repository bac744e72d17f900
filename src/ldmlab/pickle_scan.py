"""What a pickle would build, told from its instructions before one of them is run.

PyTorch reads a stranger's pickle without running code. But a few hundred bytes can ask for gigabytes, and tuples within
tuples take the process down when they become the key of a dict.
"""

from __future__ import annotations

from pickletools import OpcodeInfo, genops, markobject
from typing import Any

MOST_BYTES = 1 << 26
"""Of a pickle, in which tensors are mere references."""
MOST_DEPTH = 100
GROWING = ("bytearray", "encode")
"""Functions that PyTorch lets a pickle call, and whose results grow beyond what they are given."""
NESTING = ("EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "REDUCE", "NEWOBJ")


def require_modest(pickled: bytes) -> None:
    """Refuse a pickle that builds more than its bytes hold, or nests deeper than any checkpoint does.

    Raises:
        ValueError: it does, or it is no pickle.
    """
    depths: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    try:
        argument: Any
        for code, argument, _ in genops(pickled):
            if code.name in ("BINPUT", "LONG_BINPUT", "MEMOIZE"):
                memo[len(memo) if argument is None else argument] = depths[-1]
            elif code.name in ("BINGET", "LONG_BINGET"):
                depths.append(memo[argument])
            elif code.name == "MARK":
                marks.append(len(depths))
            elif code.name == "GLOBAL" and argument.rpartition(" ")[2] in GROWING:
                raise ValueError(f"it calls {argument.replace(' ', '.')}")
            else:
                _step(code, depths, marks)
    except (IndexError, KeyError) as error:
        raise ValueError("it takes what it never made") from error


def _step(code: OpcodeInfo, depths: list[int], marks: list[int]) -> None:
    """Put the depth of what an instruction makes in the place of the depths of what it takes."""
    taken = code.stack_before
    start = marks.pop() - taken.index(markobject) if markobject in taken else len(depths) - len(taken)
    if start < 0:
        raise ValueError("it takes what it never made")
    depth = max(depths[start:], default=0) + (code.name in NESTING)
    if depth > MOST_DEPTH:
        raise ValueError(f"it is nested more than {MOST_DEPTH} deep")
    if code.name == "BINPERSID":
        if depth != 1:
            raise ValueError("it refers to its tensors otherwise than by name")
        depth = 0
    depths[start:] = [depth] * len(code.stack_after)
