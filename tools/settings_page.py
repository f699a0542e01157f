"""Write docs/settings.md from the table of settings: python tools/settings_page.py."""

from __future__ import annotations

from pathlib import Path

from gcseg.config.row import Row, as_given
from gcseg.config.table import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

BEGINNING = """\
# Settings

This page lists all settings of all commands by topic, with the values that each may have. A command
stops with an error if a value is not allowed, if it does not read a setting, or if a setting that
it needs is missing. `--cfg job` shows the settings of a command with their current values.
`python tools/settings_page.py` writes this page from `gcseg/config/table.py`.

- A setting marked `+` is not in `conf/`: give it as `+name=value`.
- Write a list as `[a,b]`, a fraction of 1 as `0.5`, and no value as `null`.
- `~` at the beginning of a path is your home folder.
- A group's `_target_` may be your own class or function. The other settings of the group are then
  its arguments, and gcseg checks only those marked `*`.
- Settings under `hydra.*` belong to Hydra: see [sweeps](sweeps.md) and [clusters](clusters.md).
"""


def page() -> str:
    """Return the whole page, in Markdown: a heading per topic, a table per set of commands."""
    topics: dict[str, dict[tuple[str, ...], list[Row]]] = {}
    for row in TABLE:
        topics.setdefault(row.topic, {}).setdefault(row.commands, []).append(row)
    parts = [BEGINNING]
    for topic, tables in topics.items():
        parts.append(f"\n## {topic}\n")
        for commands, rows in tables.items():
            names = ", ".join(f"`{name.replace('_', ' ')}`" for name in commands)
            parts.append(f"\nRead by {names}:\n\n| setting | values | meaning |\n|---|---|---|\n")
            parts += [f"| {_name(row)} | {_values(row)} | {row.meaning} |\n" for row in rows]
    return "".join(parts)


def _name(row: Row) -> str:
    return f"`{'+' if row.added else ''}{row.name}`{' *' if row.own else ''}"


def _values(row: Row) -> str:
    if row.kind == "callable":
        text = ", ".join(f"`{choice}`" for choice in row.choices) + " or your own"
        return ", or ".join([text, *map(as_given, row.also)])
    if row.kind == "settings":
        return ", or ".join(["settings", *map(as_given, row.also)])
    text = row.wanted(in_full=True).removeprefix("give ").removeprefix("use ")
    return text.replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page())
