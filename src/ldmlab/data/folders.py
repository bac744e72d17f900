"""Where a dataset's two splits lie."""

from __future__ import annotations

from pathlib import Path


def train_folder(path: str | Path) -> Path:
    """`path/train` where it exists, else the folder itself."""
    folder = Path(path) / "train"
    return folder if folder.is_dir() else Path(path)


def heldout_folder(path: str | Path, heldout_path: str | Path | None = None) -> Path:
    """The folder of held-out tars that is named, else `path/heldout`, which need not exist.

    Raises:
        ValueError: the named one is none.
    """
    if not heldout_path:
        return Path(path) / "heldout"
    if not Path(heldout_path).is_dir():
        raise ValueError(
            f"data.heldout_path={heldout_path}: no such folder; give one of tars, or null for data.path/heldout"
        )
    return Path(heldout_path)


def require_heldout(folder: Path) -> Path:
    """A folder of held-out tars that has to exist.

    Raises:
        ValueError: it does not.
    """
    if not folder.is_dir():
        raise ValueError(
            f"data.heldout_path: there is no folder {folder}; name a folder of held-out tars by data.heldout_path="
        )
    return folder
