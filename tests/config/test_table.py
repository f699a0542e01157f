"""The table of settings is that of conf/, and of the documentation."""

import itertools
import runpy

import pytest
import yaml

from gcseg.config.checks import check
from gcseg.config.compose import source_folder
from gcseg.config.plain import plain
from gcseg.config.published_rows import row as published_row
from gcseg.config.recorded import GROUPS, PLACES
from gcseg.config.table import TABLE
from gcseg.config.trained import offer_trained_options
from tests.running import REPOSITORY, compose

COMMANDS = sorted({command for row in TABLE for command in row.commands})
USUAL = {"backbone": "r18", "head": "gc", "auxiliary_head": "fcn", "dataset": "voc",
         "protocol": "mmseg", "normalize": "protocol", "inference": "slide"}  # fmt: skip
"""What a checkpoint would say."""
MORE = {"train": ["augment=mmseg", "dataset=voc", "inference=slide"], "report_sweep": ["sweep=a"]}
MORE["data"] = MORE["train"]
MORE["submit_check"] = ["dataset=voc", "check=a"]


def composed(command: str):
    """A command's settings."""
    offer_trained_options([])
    own = (source_folder("conf") / f"{command}.yaml").read_text()
    given = [f"{group}={name}" for group, name in USUAL.items() if f"- {group}: trained" in own]
    return compose(command, *given, *MORE.get(command, []))


def of_experiments(command: str):
    """The names of the settings that files of experiments/ and rows of published= have."""
    if command in ("train", "data"):
        for path in source_folder("experiments").rglob("*.yaml"):
            yield from names(without_defaults(yaml.safe_load(path.read_text())))
        yield from names(without_defaults(published_row("mmseg_fcn_r50b_cityscapes_769x769_80k")))


def without_defaults(content):
    return {key: value for key, value in content.items() if key not in ("defaults", "hydra")}


def of_options(command: str, groups):
    """The names of the settings in each option of a command's groups, as the files have them."""
    root = source_folder("conf")
    for path in (*root.glob("*/*.yaml"), *root.glob("*/*/*.yaml")):
        content = without_defaults(yaml.safe_load(path.read_text()))
        group = path.parent.relative_to(root).as_posix()
        place = PLACES.get(group, group)
        if place != group and place.partition(".")[0] in groups:
            yield place
            yield from names(content, f"{place}.")
        elif path.parent.name in groups or (command, path.parent.name) == ("train", "prune"):
            yield path.parent.name
            yield from names(content, f"{path.parent.name}.")


def names(settings, prefix=""):
    for key, value in settings.items():
        yield f"{prefix}{key}"
        if isinstance(value, dict):
            yield from names(value, f"{prefix}{key}.")


def is_of(name: str, pattern: str) -> bool:
    pairs = itertools.zip_longest(name.split("."), pattern.split("."))
    return all(theirs in (ours, "*") for ours, theirs in pairs)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_setting_has_a_row_and_every_row_a_setting(command):
    rows = [row for row in TABLE if command in row.commands]
    cfg = composed(command)
    check(cfg, command)
    in_conf = {*names(plain(cfg)), *of_options(command, set(cfg))}
    found = in_conf | set(of_experiments(command))
    without = {name for name in found if not any(is_of(name, row.name) for row in rows)}
    assert not without, "add a row to gcseg/config/table.py"
    unused = {row.name for row in rows if not any(is_of(name, row.name) for name in found)}
    assert unused == {row.name for row in rows if row.added and row.name in unused}
    assert not {row.name for row in rows if row.added and row.name in in_conf}


def test_a_setting_has_one_row_for_each_command():
    pairs = [(row.name, command) for row in TABLE for command in row.commands]
    assert len(pairs) == len(set(pairs))
    for row in TABLE:  # and so has what it is in
        above = row.name.rpartition(".")[0]
        assert not above or {(above, command) for command in row.commands} <= set(pairs)


def test_the_callables_are_those_of_conf():
    for row in TABLE:
        if row.kind == "callable" and not row.name.startswith("prune"):
            inner = [one for one, place in PLACES.items() if row.name.startswith(f"{place}.")]
            group = inner[0] if inner else row.name.partition(".")[0]
            text = "".join(
                path.read_text() for path in (source_folder("conf") / group).glob("*.yaml")
            )
            told = {line.split(": ")[1] for line in text.splitlines() if "_target_: " in line}
            # A sum is of single losses.
            inside = {"gcseg.losses.WeightedSum"} if row.name.startswith("loss.parts") else set()
            assert set(row.choices) == told - {"null"} - inside
            assert ("null" in told) == (None in row.also)


def test_groups_of_a_checkpoint_are_of_every_command_that_takes_one():
    for command in ("eval", "predict", "report"):
        rows = {row.name for row in TABLE if command in row.commands}
        assert set(GROUPS) <= rows


def test_the_documentation_is_up_to_date():
    tool = runpy.run_path(str(REPOSITORY / "tools" / "settings_page.py"))
    told = (REPOSITORY / "docs" / "settings.md").read_text()
    assert told == tool["page"](), "run python tools/settings_page.py"
    for row in TABLE:
        assert f"`{'+' if row.added else ''}{row.name}`" in told
