"""Conversions of small exports."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from gcseg.data.convert.build import Options, build
from gcseg.data.convert.read import read_export
from gcseg.data.folder import folder
from gcseg.data.label_spaces import LabelSpace


@dataclass
class Converted:
    """A conversion's folder, and the lines that it said."""

    folder: Path
    lines: list[str] = field(default_factory=list)

    def label(self, split: str, name: str) -> np.ndarray:
        dataset = folder(self.folder, split)
        index = [pair.name for pair in dataset.pairs].index(name)
        return dataset.read(index)[1]

    def names(self, split: str) -> list[str]:
        return [pair.name for pair in folder(self.folder, split).pairs]

    @property
    def space(self) -> LabelSpace:
        return folder(self.folder, "train").label_space

    @property
    def said(self) -> str:
        return "\n".join(self.lines)


@pytest.fixture
def convert(tmp_path):
    """Convert an export: `convert("labelme", root, unlabelled="ignore")`."""

    def convert(form, source, *, images=None, classes=None, unlabelled="ignore", **options):
        output = tmp_path / "out"
        read = read_export(form, Path(source), images, output, classes)
        found = Converted(output)
        build(
            read,
            classes,
            Options(output, unlabelled, **options),
            (Path(source),),
            progress=lambda done, total: None,
            say=found.lines.append,
        )
        return found

    return convert


@pytest.fixture
def save(tmp_path):
    """Write JSON or text to a file of the export: `save("a.json", {...})`."""

    def save(name: str, content) -> Path:
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return tmp_path / "in"

    return save
