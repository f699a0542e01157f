"""Names of the files in a published folder; imports nothing heavy."""

from __future__ import annotations

from pathlib import Path

from gcseg.errors import WeightsError
from gcseg.system.links import leads_out

WEIGHTS = "model.safetensors"
"""Name of the weights, which is also the name that the hub's libraries look for."""
MANIFEST = "manifest.json"
"""Name of the list of all files with their checksums."""
CARD = "README.md"
"""Name of the model card."""
DATA_FOLDER = "data"
"""Name of the folder with the checksums of the evaluated pictures and labels."""
PREDICTIONS_FOLDER = "predictions"
"""Name of the folder with the digests of the predicted labels."""
EXPORTS_FOLDER = "exports"
"""Name of the folder with exports."""

SUFFIXES = (".safetensors", ".json", ".yaml", ".csv", ".md", ".onnx", ".xml", ".bin")
"""Suffixes of files in a published folder; none of them holds code."""


def boundary(folder: Path) -> Path:
    """Return the folder that no link in a published folder may lead out of.

    It is the folder itself. In the hub's cache a folder of `snapshots` has links to `blobs` next to
    it, so there it is the repository's folder.

    Args:
        folder: The published folder.
    """
    place = folder.absolute()
    return place.parent.parent if place.parent.name == "snapshots" else place


def is_published(folder: Path) -> bool:
    """Return whether a folder has the manifest of a published network.

    Args:
        folder: The folder.
    """
    return (folder / MANIFEST).is_file()


def weights_in(folder: Path) -> Path | None:
    """Return the weights of a published folder; None if it has none.

    Raises:
        WeightsError: They are a link to a place outside the folder.
    """
    path = folder / WEIGHTS
    if not path.is_symlink() and not path.is_file():
        return None
    if leads_out(path, boundary(folder)):
        raise WeightsError(
            f"{path} is a link to a place outside {folder}",
            "replace it by the file, if you trust whoever made it",
        )
    return path if path.is_file() else None
