"""What was measured, in a page of the docs."""

from __future__ import annotations

from pathlib import Path

from data_bench import SECTIONS
from marked_page import write_between

BEGIN, END = "<!-- bench-data: what follows is written by `make bench-data` -->", "<!-- bench-data: end -->"


def markdown(out: Path) -> str:
    """What each section wrote last, under its heading."""
    texts = {heading: out / f"{name}.md" for name, heading in SECTIONS.items()}
    return "\n\n".join(
        f"### {heading}\n\n{path.read_text().strip()}" for heading, path in texts.items() if path.exists()
    )


def write_into(page: Path, out: Path) -> None:
    """Put it between the two marks of a page.

    Raises:
        ValueError: the page has no such marks.
    """
    write_between(page, BEGIN, END, markdown(out))


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
