"""What `Model.edit` gives: the edited pictures, beside those before the edit."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from ldmlab.editing.methods.base import Edited
from ldmlab.pictures.contact_sheet import to_pil
from ldmlab.pictures.gallery import Pictures, png_bytes
from ldmlab.pictures.png import with_settings, write_png
from ldmlab.studio.edits import EditRecord, edit_sheet, write_part


class Edits(Pictures):
    """The edited pictures, one for each seed; where a setting was swept, those of its first value come first.

    Args:
        edited: what the method made.
        record: how.

    Attributes:
        before: the pictures before the edit, or one that stands for all seeds.
        rows: the edited pictures of each value of a swept setting; one row where none was.
        titles: of the rows.
        notes: what the method found out, a line each: a reconstruction's PSNR, the sites that it changed.
    """

    def __init__(self, edited: Edited, record: EditRecord) -> None:
        self._edited, self._record = edited, record
        self.before = Pictures(
            with_settings(to_pil(picture), record.before(index)) for index, picture in enumerate(edited.before.pictures)
        )
        self.rows = [
            Pictures(
                with_settings(to_pil(picture), record.after(index, row.title))
                for index, picture in enumerate(row.pictures)
            )
            for row in edited.after
        ]
        self.titles = [row.title for row in edited.after]
        self.notes = list(edited.notes)
        super().__init__(picture for row in self.rows for picture in row)

    def sheet(self, columns: int = 16) -> Image.Image:
        """The pictures before the edit over the edited ones, each over its prompt.

        Args:
            columns: most seeds that are shown.
        """
        return edit_sheet(self._edited, columns)

    def save(self, folder: str | Path) -> Path:
        """Write the files of `ldmlab edit`: `00000_source.png`, `00000_edit.png`, ..., `contact_sheet.png`.

        Args:
            folder: made where it is missing; files of these names in it are replaced.
        """
        folder = Path(folder)
        write_part(folder, self._edited, self._record)
        write_png(folder / "contact_sheet.png", self.sheet(), self._record.of_all)
        return folder

    def _repr_png_(self) -> bytes:
        """For notebooks."""
        return png_bytes(self.sheet())
