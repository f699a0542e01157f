"""Links of the documentation lead somewhere, and nothing in it stands twice."""

import re
from collections import Counter
from pathlib import Path

import pytest

from tests.running import REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/*.md")])
_CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^()\s]+)\)")


def text(page: Path) -> str:
    """The page without its blocks of code."""
    return _CODE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """What GitHub calls the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", text(page), re.MULTILINE)
    found: Counter[str] = Counter()
    names = set()
    for heading in headings:
        name = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        names.add(f"{name}-{found[name]}" if found[name] else name)
        found[name] += 1
    return names


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in _LINK.findall(text(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_stands_twice(page):
    """No paragraph, entry of a list, or row about a setting, as merges leave them in a section."""
    for section in re.split(r"^#+ ", text(page), flags=re.MULTILINE):
        entries = [entry.strip() for entry in re.split(r"\n\n+|\n(?=- )|\n(?=\|)", section)]
        found = Counter(entry for entry in entries if len(entry) > 30)
        twice = [entry for entry, count in found.items() if count > 1]
        assert not twice, f"{page.name}: {twice}"
    for table in text(page).split("\n\n"):
        settings = Counter(re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE))
        assert max(settings.values(), default=1) == 1, f"{page.name}: {settings.most_common(1)}"


def test_every_page_is_listed():
    listed = text(REPOSITORY / "docs" / "README.md")
    pages = {path.name for path in REPOSITORY.glob("docs/*.md")} - {"README.md"}
    assert {name for name in pages if f"({name}" not in listed} == set()
