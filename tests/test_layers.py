"""Imports point downward only."""

import ast
from pathlib import Path

import pytest

import gcseg

PACKAGE = Path(gcseg.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

LIGHTNING = {"pytorch_lightning", "lightning"}
HYDRA = {"hydra", "omegaconf"}
COMMANDS = ("train.py", "eval.py", "predict.py", "recipe.py")
COMMANDS += ("attention.py", "dashboard.py", "tables.py")
COMMANDS += ("data/__main__.py", "report/__main__.py", "sweeps/__main__.py")
KNOW_HYDRA = {"config.py", "settings.py", "trained.py", "instantiate.py", *COMMANDS}
KNOW_HYDRA |= {"build.py", "build_data.py", "build_report.py", "build_trainer.py"}
KNOW_HYDRA |= {"identity.py", "seeds.py", "starting_weights.py", "command_line.py", "recorded.py"}
KNOW_HYDRA |= {file for file in FILES if file.startswith("sweeps/")}
UPPER = {
    "gcseg.engine",
    "gcseg.builders.model",
    "gcseg.config.command",
    "gcseg.config.checks",
    "gcseg.config.trained",
}
UPPER |= {
    "gcseg.builders.data",
    "gcseg.commands.run_report",
    "gcseg.builders.trainer",
    "gcseg.config.instantiate",
}
UPPER |= {"gcseg.runs.name", "gcseg.config.seeds", "gcseg.builders.weights", "gcseg.sweeps"}
UPPER |= {"gcseg.config.command_line", "gcseg.config.recorded"}
UPPER |= {"gcseg.train", "gcseg.eval", "gcseg.predict", "gcseg.recipe"}
UPPER |= {"gcseg.attention", "gcseg.dashboard", "gcseg.tables"}


LIGHT = ("config.py", "settings.py", "trained.py", "catalogue.py", "published.py", "errors.py")
LIGHT += ("identity.py", "seeds.py", "starting_weights.py", "sweeps/outcome.py")
"""What commands import before they know that they have work to do."""


def imported(path: Path) -> set[str]:
    """Every module that a file imports anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(names: set[str], packages: set[str]) -> set[str]:
    return {name for name in names for package in packages if f"{name}.".startswith(f"{package}.")}


def test_there_are_files():
    assert {"engine/module.py", "models/heads.py", *KNOW_HYDRA} <= set(FILES)


@pytest.mark.parametrize("file", FILES)
def test_hydra_is_known_to_the_commands_only(file):
    if file not in KNOW_HYDRA:
        assert not within(imported(PACKAGE / file), HYDRA)


@pytest.mark.parametrize("file", [file for file in FILES if not file.startswith("engine/")])
def test_lightning_and_loggers_are_known_to_the_engine_only(file):
    names = imported(PACKAGE / file)
    assert not within(names, {"wandb", "torchmetrics"})
    if file not in {"build_trainer.py", "train.py"}:
        assert not within(names, LIGHTNING)


@pytest.mark.parametrize("file", FILES)
def test_lower_layers_do_not_know_upper_ones(file):
    names = imported(PACKAGE / file)
    if file.startswith("sweeps/"):
        names -= {"gcseg.runs.lock", "gcseg.runs.lock.hold"}  # which is light
        known = {"gcseg.sweeps", "gcseg.config.command", "gcseg.config.checks", "gcseg.runs.name"}
        assert not within(names, UPPER - known - {"gcseg.config.instantiate"})
    elif file.startswith("engine/"):
        assert not within(names, UPPER - {"gcseg.engine"})
    elif file not in KNOW_HYDRA:
        assert not within(names, UPPER)


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("models/")])
def test_networks_know_nothing_but_torch(file):
    ours = within(imported(PACKAGE / file), {"gcseg"})
    assert not {name for name in ours if not name.startswith(("gcseg.models", "gcseg.errors"))}


@pytest.mark.parametrize("file", [*LIGHT, *COMMANDS])
def test_commands_import_nothing_heavy_at_their_top(file):
    heavy = {"torch", "torchmetrics", "albumentations", "cv2", "numpy", "wandb", "rich", *LIGHTNING}
    heavy |= {"gcseg.builders.model", "gcseg.engine", "gcseg.data", "gcseg.models", "gcseg.weights"}
    top = ast.parse((PACKAGE / file).read_text()).body
    for node in top:
        if isinstance(node, ast.Import):
            assert not within({alias.name for alias in node.names}, heavy)
        elif isinstance(node, ast.ImportFrom):
            assert not within({node.module}, heavy)
