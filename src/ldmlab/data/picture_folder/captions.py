"""Captions of the pictures in a folder: KEY.txt beside each, or tables of files and captions."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from unicodedata import normalize

from ldmlab.data.picture_folder.tables import one_line, read_table, tables_in
from ldmlab.files import read_text

log = logging.getLogger(__name__)

AUTO, TXT, NONE = "auto", "txt", "none"
MOST_TEXT_BYTES = 2**16


def read_captions(folder: Path, pictures: Collection[str], captions: str = AUTO) -> dict[str, str]:
    """Captions by picture; pictures without one are left out, and a warning counts them where others have one.

    Args:
        folder: of the pictures.
        pictures: their paths below it.
        captions: "txt" for KEY.txt beside KEY.jpg; a file name for a table (`read_table`); "none"; "auto" for the
            tables named `captions` or `metadata` in the folder and in those below it, each of the pictures below its
            own folder, which it names from there on, and KEY.txt for the others.

    Raises:
        ValueError: the table is absent, ambiguous, or no such table; its line is named.
    """
    if captions == NONE:
        return {}
    found = find_captions(folder, pictures, captions)
    lacking = sorted(set(pictures) - found.keys())
    if captions != AUTO and pictures and not found:
        raise ValueError(
            f"dataset.captions={captions}: no picture in {folder} has a caption; use dataset.captions=none"
        )
    if not found:
        log.info("%s: no picture has a caption", folder)
    elif lacking:
        log.warning("%d of %d pictures have no caption (first: %s)", len(lacking), len(pictures), lacking[0])
    return found


def find_captions(folder: Path, pictures: Collection[str], captions: str = AUTO) -> dict[str, str]:
    """As `read_captions`, where it is no matter whether pictures have any."""
    tables = _tables_of(folder, pictures, captions)
    covered = {picture for picture in pictures if any(_is_below(picture, inner) for inner in tables.values())}
    return _from_tables(tables, covered) | _beside(folder, [each for each in pictures if each not in covered])


def _tables_of(folder: Path, pictures: Collection[str], captions: str) -> dict[Path, str]:
    """The tables to read, each with the folder that its files are named from."""
    if captions == TXT:
        return {}
    if captions == AUTO:
        parents = {parent.as_posix() for picture in pictures for parent in PurePosixPath(picture).parents}
        return {table: inner for inner in sorted(parents | {"."}) if (table := _table_in(folder / inner)) is not None}
    for path in (folder / captions, Path(captions)):
        if path.is_file():
            return {path: "."}
    raise ValueError(
        f"dataset.captions={captions}: no such file, here or in {folder}; give a table (.csv or .jsonl), txt, none or"
        " auto"
    )


def _is_below(picture: str, inner: str) -> bool:
    return inner == "." or picture.startswith(f"{inner}/")


def _table_in(folder: Path) -> Path | None:
    there = tables_in(folder)
    if len(there) > 1:
        names = " and ".join(path.name for path in there)
        raise ValueError(f"dataset.captions=auto: {folder} has {names}; choose one by dataset.captions={there[0].name}")
    return there[0] if there else None


def _beside(folder: Path, pictures: Collection[str]) -> dict[str, str]:
    found, unreadable = {}, []
    for picture in pictures:
        path = (folder / picture).with_suffix(".txt")
        try:
            caption = one_line(read_text(path, MOST_TEXT_BYTES))
        except FileNotFoundError:
            continue
        except (OSError, ValueError) as error:
            unreadable.append(str(error))
            continue
        if caption:
            found[picture] = caption
    if unreadable:
        log.warning("%d captions cannot be read (first: %s)", len(unreadable), unreadable[0])
    return found


def _from_tables(tables: dict[Path, str], pictures: Collection[str]) -> dict[str, str]:
    composed = {normalize("NFC", picture): picture for picture in pictures}  # macOS writes letters and accents apart
    found: dict[str, str] = {}
    for table, inner in tables.items():
        strangers, twice = [], []
        for file, caption in read_table(table):
            name = PurePosixPath(inner, file.replace("\\", "/")).as_posix()
            picture = composed.get(normalize("NFC", name))
            if picture is None:
                strangers.append(name)
            elif picture in found:
                twice.append(name)
            elif caption:
                found[picture] = caption
        _warn(table, strangers, "name no picture that is there")
        _warn(table, twice, "caption a picture again, and are left out")
    return found


def _warn(table: Path, names: list[str], what: str) -> None:
    if names:
        log.warning("%s: %d rows %s (first: %s)", table, len(names), what, names[0])
