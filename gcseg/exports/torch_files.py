"""Texts in the zip archives that PyTorch writes, read without PyTorch and without their code."""

from __future__ import annotations

import zipfile
from pathlib import Path

from gcseg.errors import WeightsError
from gcseg.system.records import LARGEST_TEXT
from gcseg.system.text import shown

EXTRA_FILE = "gcseg.json"
"""Name of the record among the extra files of an archive."""


def extra_text(path: Path) -> str | None:
    """Read the record among an archive's extra files; None if there is none.

    Raises:
        WeightsError: The file is no archive, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = [
                one for one in archive.infolist() if one.filename.endswith(f"/extra/{EXTRA_FILE}")
            ]
            if not found:
                return None
            if found[0].file_size > LARGEST_TEXT:
                raise WeightsError(f"the record in {path} is too large", "export the network again")
            return archive.read(found[0]).decode()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError) as error:
        raise WeightsError(
            f"can't read {path} ({shown(str(error))})", "export the network again"
        ) from error
