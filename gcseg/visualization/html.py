"""Building blocks of a self-contained page: pictures and styles inside, no script, no network."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterable, Mapping, Sequence
from html import escape
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

import gcseg
from gcseg.system.files import atomic_write
from gcseg.system.text import printable
from gcseg.visualization.html_style import STYLE

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'"
"""Content security policy: the browser itself refuses everything that is not in this file."""

_LONG = 40
"""Characters above which text in a table is wrapped, but not into a narrow column."""


class Markup(str):
    """HTML, as returned by the functions here; other strings are escaped where they are used."""


class Document:
    """A page of sections, with a table of contents.

    Args:
        title: Title of the page.
        subtitle: Line below the title.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self._title = title
        self._subtitle = subtitle
        self._sections: list[tuple[str, str]] = []

    def add(self, title: str, *parts: str, note: str = "") -> None:
        """Add a section.

        Args:
            title: Heading of the section, also listed in the contents.
            parts: Contents: `Markup` is inserted unchanged, any other text as a paragraph.
            note: Explanation of the section, in small print below its heading.
        """
        name = f"part-{len(self._sections) + 1}"
        body = "\n".join(
            part if isinstance(part, Markup) else f"<p>{text(part)}</p>" for part in parts if part
        )
        about = f'<p class="note">{text(note)}</p>\n' if note else ""
        self._sections.append(
            (
                f'<li><a href="#{name}">{text(one_line(title))}</a></li>',
                f'<section id="{name}">\n<h2>{text(one_line(title))}</h2>\n{about}{body}\n'
                "</section>\n",
            )
        )

    def html(self) -> str:
        """Return the page's text."""
        title = text(one_line(self._title))
        subtitle = f'<p class="subtitle">{text(self._subtitle)}</p>\n' if self._subtitle else ""
        contents = "".join(entry for entry, _ in self._sections)
        nav = f'<nav aria-label="contents"><ol>{contents}</ol></nav>\n' if contents else ""
        return (
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            '<meta name="referrer" content="no-referrer">\n'
            f'<title>{title}</title>\n<link rel="icon" href="data:,">\n'
            f"<style>{STYLE}</style>\n</head>\n<body>\n"
            f"<header>\n<h1>{title}</h1>\n{subtitle}{nav}</header>\n<main>\n"
            f"{''.join(section for _, section in self._sections)}</main>\n"
            f"<footer>made by gcseg {gcseg.__version__}</footer>\n</body>\n</html>\n"
        )

    def write(self, path: Path) -> Path:
        """Write the page atomically.

        Returns:
            Path of the file.

        Raises:
            OutputError: The file can't be written.
        """
        with atomic_write(path) as file:
            file.write(self.html().encode())
        return path


def text(string: str) -> Markup:
    """Escape text for HTML; characters that UTF-8 or HTML can't hold become question marks."""
    if isinstance(string, Markup):
        return string
    known = str(string).encode("utf-8", "replace").decode()
    return Markup(escape("".join(c if c.isprintable() or c in "\n\t " else "?" for c in known)))


def one_line(string: str) -> str:
    """Put text on one line and make it valid UTF-8, which file names may not be."""
    return printable(" ".join(string.encode("utf-8", "replace").decode().split()))


def table(
    header: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    bold: Collection[tuple[int, int]] = frozenset(),
    texts: int = 1,
) -> Markup:
    """Return a table, in a box that scrolls if the table is wider than the page.

    Args:
        header: Titles of the columns.
        rows: Cells by row; a row may be shorter than the header.
        bold: (row, column) of the bold cells, from 0.
        texts: Number of first columns with text; the others have numbers, aligned to the right.
    """
    columns = len(header)

    def cells(tag: str, row: Sequence[str], number: int | None) -> str:
        padded = [*row, *[""] * (columns - len(row))]
        kinds = [
            [
                *(["t"] if place < texts else []),
                *(["long"] if place < texts and len(cell) > _LONG else []),
                *(["b"] if (number, place) in bold else []),
            ]
            for place, cell in enumerate(padded)
        ]
        return "".join(
            f"<{tag}{_class(kind)}>{text(cell)}</{tag}>"
            for kind, cell in zip(kinds, padded, strict=True)
        )

    body = "\n".join(f"<tr>{cells('td', row, number)}</tr>" for number, row in enumerate(rows))
    return Markup(
        # tabindex lets the box be scrolled with the keyboard
        '<div class="wide" tabindex="0"><table>\n'
        f"<thead><tr>{cells('th', header, None)}</tr></thead>\n<tbody>\n{body}\n</tbody>\n"
        "</table></div>"
    )


def facts(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Markup:
    """Return a list of names with their values, one below the other."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    entries = "".join(
        f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>\n" for name, value in items
    )
    return Markup(f'<dl class="facts">\n{entries}</dl>')


def definitions(pairs: Mapping[str, str]) -> Markup:
    """Return a list of terms, each with its definition below it."""
    items = "".join(f"<dt>{text(name)}</dt><dd>{text(words)}</dd>" for name, words in pairs.items())
    return Markup(f'<dl class="words">{items}</dl>')


def figure(content: str, caption: str = "") -> Markup:
    """Return a chart or picture with a caption."""
    below = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return Markup(f"<figure>{text(content)}{below}</figure>")


def grid(*figures: str) -> Markup:
    """Return figures side by side, if the page is wide enough."""
    return Markup(f'<div class="grid">\n{"".join(text(one) for one in figures)}\n</div>')


def details(summary: str, *parts: str, is_open: bool = False) -> Markup:
    """Return parts that can be unfolded below a summary."""
    opened = " open" if is_open else ""
    return Markup(
        f"<details{opened}><summary>{text(summary)}</summary>\n"
        f"{''.join(text(part) for part in parts)}</details>"
    )


def command(string: str) -> Markup:
    """Return text to copy, such as a command or a file; one tap selects all of it."""
    return Markup(f'<pre class="command"><code>{text(string)}</code></pre>')


def notice(string: str) -> Markup:
    """Return a highlighted remark, for example on missing data."""
    return Markup(f'<p class="notice">{text(string)}</p>')


def image(uri: str, description: str) -> Markup:
    """Return a picture.

    Args:
        uri: Data URI from `jpeg_uri` or `png_uri`.
        description: Alternative text for screen readers.
    """
    return Markup(f'<img src="{escape(uri)}" alt="{text(one_line(description))}">')


def swatch(color: Sequence[int]) -> Markup:
    """Return a small square of a colour.

    Args:
        color: RGB values, 0..255.
    """
    red, green, blue = (int(channel) for channel in color)
    return Markup(f'<i class="swatch" style="background: rgb({red}, {green}, {blue})"></i>')


def jpeg_uri(array: npt.NDArray[np.uint8], longest: int = 640, quality: int = 82) -> str:
    """Encode a photograph as a data URI.

    Args:
        array: The photograph, H x W x 3 RGB.
        longest: Most pixels of the longer side; larger pictures are reduced.
        quality: Quality of the JPEG, 1..95.
    """
    return _uri(_reduced(array, longest, Image.Resampling.BOX), "jpeg", quality=quality)


def png_uri(array: npt.NDArray[np.uint8], longest: int = 640) -> str:
    """Encode a picture of few colours as a data URI, without loss.

    Args:
        array: The picture, H x W x 3 RGB, or H x W x 4 with alpha.
        longest: Most pixels of the longer side; larger pictures are reduced by leaving out pixels.
    """
    picture = _reduced(array, longest, Image.Resampling.NEAREST)
    if picture.mode == "RGB" and picture.getcolors(256) is not None:  # takes a third of the bytes
        picture = picture.quantize(256, dither=Image.Dither.NONE)
    return _uri(picture, "png", optimize=True)


def _reduced(
    array: npt.NDArray[np.uint8], longest: int, resampling: Image.Resampling
) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(array))
    scale = longest / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(scale * side)) for side in picture.size)
    return picture.resize((width, height), resampling)


def _uri(picture: Image.Image, kind: str, **options: int) -> str:
    file = BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def _class(kinds: Sequence[str]) -> str:
    return f' class="{" ".join(kinds)}"' if kinds else ""
