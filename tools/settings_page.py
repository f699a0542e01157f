"""Write docs/settings.md from the table of settings: python tools/settings_page.py."""

from __future__ import annotations

from pathlib import Path

from gcseg.config.row import Row, as_given
from gcseg.config.table import TABLE

PAGE = Path(__file__).resolve().parent.parent / "docs" / "settings.md"

BEGINNING = """\
# Settings

All settings of all commands, with the values that they may have. A command refuses other values,
what it lacks, and settings that it does not read. `--cfg job` shows a command's settings with their
values. This page is made of `gcseg/config/table.py` by `python tools/settings_page.py`.

- A setting marked `+` is not in `conf/` and is given as `+name=value`.
- A list is given as `[a,b]`, a fraction of 1 as `0.5`, nothing as `null`.
- `~` at the beginning of a path is your home folder.
- Where a group's `_target_` is a class or function of your own, the group's other settings are its
  arguments; gcseg checks only those marked `*`.
- `hydra.*` are Hydra's own: [sweeps](sweeps.md), [clusters](clusters.md).
"""


def page() -> str:
    """Return the whole page, in Markdown."""
    parts = [BEGINNING]
    commands: tuple[str, ...] = ()
    for row in TABLE:
        if row.commands != commands:
            commands = row.commands
            names = ", ".join(f"`{name.replace('_', ' ')}`" for name in commands)
            parts.append(f"\n## Of {names}\n\n| setting | values | meaning |\n|---|---|---|\n")
        parts.append(f"| {_name(row)} | {_values(row)} | {row.meaning} |\n")
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
