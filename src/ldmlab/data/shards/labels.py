"""Class labels of samples: `KEY.cls`, as WebDataset has it, or `label` in `KEY.json`."""

from __future__ import annotations

from typing import Any

from ldmlab.data.problems import Defect

NONE = -1
MOST = 2**31
_DIGITS = 10


def read_label(text: bytes | None, meta: dict[str, Any]) -> tuple[int, Defect | None]:
    """Return a sample's label, or -1, and what is wrong with it.

    It is a whole number from 0, written as one: in json neither 1.0 nor "1" nor true, which come from tables that were
    spoiled on their way (a column with gaps turns into decimals). The .cls counts where both are there.

    Args:
        text: what `KEY.cls` holds; None without one.
        meta: the json.
    """
    from_json = _whole(meta.get("label"))
    if text is None:
        missing = meta.get("label") is None
        return (from_json, None) if from_json != NONE else (NONE, Defect.MISSING_LABEL if missing else Defect.BAD_LABEL)
    digits = text.strip()
    label = int(digits) if digits.isdigit() and len(digits) <= _DIGITS else NONE
    if not 0 <= label < MOST:
        return NONE, Defect.BAD_LABEL
    return label, Defect.OTHER_LABEL if from_json not in (NONE, label) else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MOST else NONE
