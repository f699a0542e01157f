"""Matplotlib figures as <svg> elements of a page: text stays text, colours are the page's."""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any

from gcseg.visualization.html import Markup, one_line, text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Placeholder colours that are drawn; the page's colours then replace them.
TEXT, LINE, FAINT = "#010203", "#040506", "#070809"
_REPLACED = {
    TEXT: "currentColor",
    LINE: "var(--line, #bbb)",
    FAINT: "var(--faint, #777)",
}

WIDTH = 4.6
"""Width of every chart, in inches: on a phone a point is then about a pixel."""

FONT = 10.0
"""Size of most text, in points."""


@contextmanager
def new_figure(height: float) -> Iterator[Figure]:
    """Yield a figure to draw on and convert to SVG, under matplotlib settings limited to it."""
    # Figure without pyplot: no display, no state shared with a caller's plots.
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    settings: Any = {
        "svg.fonttype": "none",
        "svg.hashsalt": "gcseg",  # gives the same names, and so the same text, for the same numbers
        "svg.image_inline": True,
        "text.parse_math": False,  # names of classes may have dollars
        "font.size": FONT,
        "axes.labelsize": FONT,
        "xtick.labelsize": FONT,
        "ytick.labelsize": FONT,
        "text.color": TEXT,
        "path.simplify": True,
    }
    with rc_context(settings), warnings.catch_warnings():
        # Letters that matplotlib's font lacks: the reader's browser has other fonts.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        yield Figure((WIDTH, height), layout="constrained")


def _of_the_page(style: re.Match[str]) -> str:
    """Return a style attribute with the page's font in place of matplotlib's."""
    return re.sub(r"(font(?:-family)?:[^;']*)'[^;\"]*", r"\1system-ui, sans-serif", style[0])


def svg(figure: Figure, title: str) -> Markup:
    """Convert a figure to an <svg> element for a page."""
    file = StringIO()
    figure.savefig(
        file, format="svg", transparent=True,
        metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
    )  # fmt: skip
    drawn = file.getvalue()
    drawn = drawn[drawn.index("<svg") :]
    drawn = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", drawn, flags=re.DOTALL)
    drawn = re.sub(r'<g id="[^"]*"', "<g", drawn)
    # Names must not occur in two charts of the same page.
    prefix = hashlib.sha256((title + drawn).encode()).hexdigest()[:8]
    drawn = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>c{prefix}-", drawn)
    for color, instead in _REPLACED.items():
        drawn = drawn.replace(color, instead)
    drawn = re.sub(r'style="[^"]*"', _of_the_page, drawn)
    (box,) = re.findall(r'viewBox="([^"]*)"', drawn[:1000])
    name = text(one_line(title))
    start = (
        f'<svg class="chart" role="img" aria-label="{name}" viewBox="{box}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
        f"<title>{name}</title>"
    )
    return Markup(start + re.sub(r"\n\s*", "\n", drawn[drawn.index(">") + 1 :]).strip())
