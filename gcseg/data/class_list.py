"""Class lists: YAML files that name the classes of a folder of pictures and masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gcseg.data.color_masks import Color, ColorKey, UnknownColors
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.errors import ConfigError, DataError
from gcseg.system.records import LARGEST_YAML, RecordError, parse_yaml, read_text
from gcseg.system.text import shown

STATED = ("images", "bands", "labels", "label_ending", "split_list", "masks", "unknown_colors")
"""Settings of the folder's reader that a class list may state too."""

_LISTED = 5  # names in a message


@dataclass(frozen=True)
class ClassList:
    """The content of a class list.

    Args:
        label_space: Names, colours and values of the classes.
        has_colors: Whether the classes' colours are given.
        ignored_colors: Colours that mean "ignore" in masks in colours.
        stated: Settings of the reader that are text, by name.
        bands: Patterns of the files that are the bands of a picture; empty if not stated.
    """

    label_space: LabelSpace
    has_colors: bool = False
    ignored_colors: tuple[Color, ...] = ()
    stated: Mapping[str, str] = field(default_factory=dict)
    bands: tuple[str, ...] = ()

    def color_key(self, unknown: UnknownColors) -> ColorKey:
        """Return the meaning of the colours of masks.

        Args:
            unknown: What becomes of colours of no class.

        Raises:
            ConfigError: A colour has two meanings.
        """
        ignored = len(self.ignored_colors)
        space = self.label_space
        return ColorKey(
            (*space.colors, *self.ignored_colors),
            (*space.names, *("ignored",) * ignored),
            (*range(space.num_classes), *(IGNORE_INDEX,) * ignored),
            unknown,
        )


def read_classes(path: Path) -> LabelSpace:
    """Read the classes of a class list.

    Raises:
        DataError: The file is missing.
        ConfigError: The file is not such a list.
    """
    return read_class_list(path).label_space


def read_class_list(path: Path) -> ClassList:
    """Read a class list.

    The file holds `classes`, a list of names or of mappings with `name` and, optionally, `color`
    (RGB) and `value` (in the masks; the position in the list by default), and `ignore`, the values
    and colours that are neither trained on nor scored (255 is too, unless it is a class's value).
    It may state the layout with the names of `STATED`.

    Raises:
        DataError: The file is missing.
        ConfigError: The file is not such a list.
    """
    shape = "write 'classes:' with one name per line, and 'ignore: [value, ...]' if needed"
    try:
        content = parse_yaml(read_text(path, LARGEST_YAML))
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise DataError(f"{path.parent} does not exist", "check dataset.root") from None
        raise DataError(f"class list {path} does not exist", shape) from None
    except RecordError as error:
        raise ConfigError(f"class list {path} can't be read ({error})", shape) from None
    if not isinstance(content, dict) or not isinstance(content.get("classes"), list):
        raise ConfigError(f"class list {path} has no list 'classes'", shape)
    if unknown := sorted(set(content) - {"classes", "ignore", *STATED}):
        raise ConfigError(f"class list {path} has unknown keys {_listed(unknown)}", shape)
    entries = [
        entry if isinstance(entry, dict) else {"name": entry} for entry in content["classes"]
    ]
    known = {"name", "color", "value"}
    if unknown := sorted({key for entry in entries for key in entry} - known):
        raise ConfigError(
            f"class list {path} has classes with unknown keys {_listed(unknown)}", shape
        )
    try:
        names = tuple(entry["name"] for entry in entries)
        _check_names(names, path)
        colors = tuple(_color(entry["color"]) for entry in entries if "color" in entry)
        values = {_whole(entry.get("value", index)): index for index, entry in enumerate(entries)}
        ignored, ignored_colors = _ignored(content.get("ignore"))
        stated, bands = _stated(content), _bands(content)
    except (KeyError, ValueError) as error:
        raise ConfigError(f"class list {path} has a wrong entry ({error})", shape) from None
    if len(values) != len(names):
        raise ConfigError(f"class list {path} gives one value to two classes", "use each once")
    try:
        space = LabelSpace(names, colors, values, ignored)
    except ConfigError as error:
        raise ConfigError(f"class list {path}: {error.cause}", error.remedy) from None
    return ClassList(space, bool(colors), ignored_colors, stated, bands)


def _stated(content: Mapping[str, object]) -> dict[str, str]:
    """Return the settings of the reader that a class list states.

    Raises:
        ValueError: One is no text, or leads out of the dataset's folder.
    """
    found: dict[str, str] = {}
    for name in STATED:
        if name not in content or name == "bands":
            continue
        if name in ("masks", "unknown_colors"):
            found[name] = _text(name, content[name])
        else:
            found[name] = _place(name, content[name])
    return found


def _bands(content: Mapping[str, object]) -> tuple[str, ...]:
    """Return the patterns of bands that a class list states, if any.

    Raises:
        ValueError: They are no list of texts, lead out of the dataset's folder, or `images` is
            stated too.
    """
    if "bands" not in content:
        return ()
    patterns = content["bands"]
    if not isinstance(patterns, list) or not patterns:
        raise ValueError(f"bands: {shown(str(patterns))} is no list of patterns")
    if "images" in content:
        raise ValueError("images and bands, of which one can be read")
    return tuple(_place("bands", pattern) for pattern in patterns)


def _text(name: str, value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: {shown(str(value))} is no text")
    return value


def _place(name: str, value: object) -> str:
    text = _text(name, value)
    if text.startswith("/") or ".." in text.split("/"):
        raise ValueError(f"{name}: {shown(text)} leads out of the dataset's folder")
    return text


def _check_names(names: Sequence[object], path: Path) -> None:
    """Check that YAML read all names as text; otherwise report the other type and its cause.

    Raises:
        ConfigError: A name is not text.
    """
    others = [
        (number, _read_as(name)) for number, name in enumerate(names, 1) if type(name) is not str
    ]
    if not others:
        return
    listed = "; ".join(f"class {number} is {what}" for number, (what, _) in others[:_LISTED])
    more = f"; and {len(others) - _LISTED} more" if len(others) > _LISTED else ""
    example = next((quoted for _, (_, quoted) in others if quoted), "")
    raise ConfigError(
        f"class list {path} has names that are not text: {listed}{more}",
        f"put quotes around the name: - '{example}'" if example else "give each class one name",
    )


def _read_as(name: object) -> tuple[str, str]:
    """Return the type that YAML made of a name, and the name as it was probably written."""
    if name is None:
        return "null, which is what YAML makes of null, ~ and an empty value", "null"
    if isinstance(name, bool):
        written = ("no", "off", "false") if not name else ("yes", "on", "true")
        quoted = "' or '".join(written)
        return (
            f"{written[2]}, which is what YAML makes of {', '.join(written)} without quotes"
        ), quoted
    if isinstance(name, int | float):
        number = shown(str(name))
        return f"the number {number}", number
    return ("a list" if isinstance(name, list) else "a mapping"), ""


def _ignored(given: object) -> tuple[tuple[int, ...], tuple[Color, ...]]:
    """Return the ignored values and the ignored colours."""
    if given is not None and not isinstance(given, list):
        raise ValueError(f"ignore: {shown(str(given))} is not a list")
    listed = given or []
    numbers = [_whole(one) for one in listed if not isinstance(one, list)]
    colors = [_color(one) for one in listed if isinstance(one, list)]
    return tuple(numbers), tuple(colors)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise ValueError(f"value {shown(str(value))!r} is not a whole number")
    return value


def _listed(names: Sequence[str]) -> list[str]:
    return [shown(name) for name in names[:_LISTED]]


def _color(value: object) -> Color:
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError(f"colour {shown(str(value))} is not [red, green, blue]")
    red, green, blue = (_whole(channel) for channel in value)
    if not all(0 <= channel <= 255 for channel in (red, green, blue)):
        raise ValueError(f"colour {shown(str(value))} is not within 0 to 255")
    return red, green, blue
