"""A page of the docs that keeps a place, between two marks, for what a benchmark writes."""

from __future__ import annotations

from pathlib import Path


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put a text between the two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not (found and ended):
        raise ValueError(f"{page}: has no place for the tables; write the lines '{begin}' and '{end}' there")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")
