"""Class lists of conversions: from `classes=`, or from the annotations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from gcseg.data.class_list import read_classes
from gcseg.data.convert.drawings import IGNORE_LABEL, Color
from gcseg.data.label_spaces import IGNORE_INDEX, UNKNOWN, LabelSpace
from gcseg.errors import ConfigError, DataError
from gcseg.system.records import LARGEST_YAML, RecordError, read_text
from gcseg.system.text import printable

CLASS_LIST = "classes.yaml"
"""File of a class list in the folder of a dataset."""
MASKS_CLASSES = "masks.yaml"
"""File of the classes of predictions, next to masks/: nobody else has a file of this name."""

BACKGROUND = "background"
_SAME = (BACKGROUND, "_background_")
"""Names of the class of all else; the second is LabelMe's."""

Unlabelled = Literal["ignore", "background"]


@dataclass(frozen=True)
class Classes:
    """The classes of a conversion.

    Args:
        space: Their names, colours and values.
        background: Class index of unlabelled pixels; None if they are ignored.
    """

    space: LabelSpace
    background: int | None

    @property
    def index(self) -> Mapping[str, int]:
        """Class index by label."""
        return {name: index for index, name in enumerate(self.space.names)}

    @property
    def ignored_value(self) -> int:
        """Value of ignored pixels in masks.

        Raises:
            ConfigError: The class list has none.
        """
        if not self.space.ignored_values:
            raise ConfigError(
                "the class list gives 255 to a class, so that no value is left for ignored pixels",
                "add ignore: [254] to it, or another value",
            )
        usual = IGNORE_INDEX in self.space.ignored_values
        return IGNORE_INDEX if usual else self.space.ignored_values[0]


def classes_of(
    given: Sequence[str] | str | None,
    found: Mapping[str, Color | None],
    unlabelled: Unlabelled | None,
) -> Classes:
    """Return the classes of a conversion.

    Args:
        given: Names in the order of their values, or a file: a class list in YAML as
            `dataset=folder` reads it, or text with a name on each line. None for `found`.
        found: Labels of the annotations in order, with colours where they have any.
        unlabelled: What pixels without a label are. `background` adds that class in front, unless
            it is one.

    Raises:
        ConfigError: The list is wrong, has one class only, or `unlabelled=background` adds to a
            file that gives values.
        DataError: The file is missing.
    """
    if isinstance(given, str) and Path(given).suffix.lower() in (".yaml", ".yml"):
        space = read_classes(Path(given))
        return Classes(space, _background(space.names, unlabelled, Path(given)))
    names = _lines_of(Path(given)) if isinstance(given, str) else list(given or found)
    names = [name for name in names if name != IGNORE_LABEL]
    if unlabelled == BACKGROUND and not any(name.lower() in _SAME for name in names):
        names = [BACKGROUND, *names]
    if len(names) < 2:
        only = f"only the label {printable(names[0])} is" if names else "no label is"
        raise ConfigError(
            f"{only} in the annotations, and one class alone can't be learnt",
            "add unlabelled=background, so that all else is a class too",
        )
    given_colors = [found.get(name) for name in names]
    usual = LabelSpace(tuple(map(str, range(UNKNOWN)))).colors
    free = iter([color for color in usual if color not in given_colors])
    filled = [color or next(free) for color in given_colors[:UNKNOWN]]
    space = LabelSpace(tuple(names), tuple(filled))
    return Classes(space, _background(names, unlabelled, None))


def _background(
    names: Sequence[str], unlabelled: Unlabelled | None, path: Path | None
) -> int | None:
    if unlabelled != BACKGROUND:
        return None
    for index, name in enumerate(names):
        if name.lower() in _SAME:
            return index
    raise ConfigError(
        f"class list {path} has no class {BACKGROUND}, which unlabelled pixels would be",
        f"add it, as {{name: {BACKGROUND}, value: 0}}, or give unlabelled=ignore",
    )


def _lines_of(path: Path) -> list[str]:
    """Return the names in a text file, one on each line.

    Raises:
        DataError: The file is missing.
        ConfigError: It can't be read.
    """
    try:
        lines = read_text(path, LARGEST_YAML).splitlines()
    except FileNotFoundError:
        raise DataError(
            f"class list {path} does not exist", "give classes=[road,car], or a file of them"
        ) from None
    except RecordError as error:
        raise ConfigError(
            f"class list {path} can't be read ({error})", "write a name on each line"
        ) from None
    return [line.strip() for line in lines if line.strip()]


def class_list(space: LabelSpace) -> bytes:
    """Return a class list in YAML as `dataset=folder` reads it."""
    values = {index: value for value, index in sorted(space.values.items(), reverse=True)}
    entries = [
        {"name": name, "value": values[index], "color": list(space.colors[index])}
        for index, name in enumerate(space.names)
    ]
    content: dict[str, object] = {"classes": entries}
    if space.ignored:
        content["ignore"] = list(space.ignored)
    text: str = yaml.safe_dump(
        content, sort_keys=False, allow_unicode=True, default_flow_style=None
    )
    return text.encode()
