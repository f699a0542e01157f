"""python -m gcseg.tables: the tables of published and measured results."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from gcseg.commands.arguments import ArgumentParser
from gcseg.config.compose import source_folder
from gcseg.errors import ConfigError, GcsegError
from gcseg.runs.shapes import in_words
from gcseg.system.files import atomic_write
from gcseg.system.records import RecordError, read_text
from gcseg.system.text import say
from gcseg.zoo import catalogue
from gcseg.zoo.matched import matched_table
from gcseg.zoo.measured import measured_table, published_table, read_measurements


def main(arguments: list[str] | None = None) -> None:
    """Print the tables, or put them into a Markdown file."""
    parser = ArgumentParser(
        prog="python -m gcseg.tables",
        description="Tables of published and measured results, in Markdown.",
    )
    parser.add_argument(
        "--results",
        type=Path,
        metavar="FILE",
        default=source_folder("experiments") / "results.json",
        help="the measurements (default: those of the repository)",
    )
    parser.add_argument(
        "--update",
        type=Path,
        metavar="FILE",
        help="write the tables into a Markdown file instead of printing them: each between marks "
        "such as <!-- published --> and <!-- /published -->; the others are matched and measured",
    )
    given = parser.parse_args(arguments)
    try:
        # A file's content is replaced by all tables that it has marks for, or not at all.
        odd: list[str] = []
        measurements = read_measurements(given.results, odd if given.update is None else None)
        if odd:
            say(f"left out of {given.results}: {in_words(odd)}", error=True)
        tables = {
            "published": published_table(catalogue.records(), measurements),
            "matched": matched_table(catalogue.records()),
            "measured": measured_table(measurements),
        }
        if given.update is None:
            say(*"\n\n".join(tables.values()).splitlines())
        else:
            text = read_text(given.update)
            there = {name: table for name, table in tables.items() if f"<!-- {name} -->" in text}
            for name, table in (there or tables).items():
                text = replaced(text, name, table, given.update)
            with atomic_write(given.update) as file:
                file.write(text.encode())
    except (RecordError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        say(f"error: {given.update} can't be read ({reason}): give a page with marks", error=True)
        sys.exit(1)
    except (GcsegError, ValueError) as error:
        say(f"error: {error}", error=True)
        sys.exit(1)


def replaced(text: str, name: str, table: str, path: Path) -> str:
    """Replace the table between the marks of this name in a text.

    Raises:
        ConfigError: The marks are missing.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    found, count = re.subn(
        f"{re.escape(start)}.*?{re.escape(end)}",
        lambda _: f"{start}\n{table}\n{end}",
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ConfigError(f"{path} has {count} places for a table", f"write {start} and {end} once")
    return found
