"""The plan of the house: which room may import which."""

import ast
from pathlib import Path

import pytest

import gcseg

PACKAGE = Path(gcseg.__file__).parent
FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))

FLOORS = (
    ("__init__", "system.text"),
    ("errors",),
    ("system", "exports.names"),
    ("models",),
    ("data",),
    ("losses", "optim", "inference", "metrics", "visualization", "weights", "submission"),
    ("runs",),
    ("zoo", "exports"),
    ("publishing",),
    ("engine",),
    ("config",),
    ("builders",),
    ("predictor",),
    ("demo_page",),
    ("sweeps",),
    ("report",),
    ("commands",),
    ("python",),
)
"""Rooms from the ground up: each knows those below it, and none beside it."""

STUBS = {f"{name}.py" for name in ("attention", "benchmark", "dashboard", "eval", "export")}
STUBS |= {f"{name}.py" for name in ("predict", "recipe", "selftest", "submit", "tables", "train")}
STUBS |= {"demo.py", "publish.py", "verify.py"}
STUBS |= {f"{room}/__main__.py" for room in ("data", "report", "sweeps", "weights")}
STUBS |= {"__init__.py"}
"""What `python -m gcseg.train` and the like start: a line that imports a command from above. The
package itself names its functions, and imports them on first use."""

KNOW_HYDRA = {"config", "builders", "predictor", "sweeps", "commands", "python"}
KNOW_LIGHTNING = {"engine", "builders", "commands"}
KNOW_LOGGERS = {"engine"}

LIGHT = [file for file in FILES if file.startswith(("config/", "commands/"))]
LIGHT += ["errors.py", "runs/folder.py", "runs/name.py", "zoo/catalogue.py", "zoo/published.py"]
LIGHT += ["builders/weights.py", "sweeps/outcome.py", "system/text.py", "system/launch.py"]
LIGHT.remove("commands/run_report.py")
"""What commands import before they know that they have work to do."""
HEAVY = {"torch", "torchmetrics", "albumentations", "cv2", "numpy", "wandb", "rich", "lightning"}
HEAVY |= {"pytorch_lightning", "matplotlib", "gcseg.engine", "gcseg.data", "gcseg.models"}
HEAVY |= {"gcseg.inference", "gcseg.weights", "gcseg.report", "gcseg.builders.model"}


def imported(file: str) -> set[str]:
    """Every module that a file imports anywhere in it, with the names that it takes of one."""
    names = set()
    for node in ast.walk(ast.parse((PACKAGE / file).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file} imports relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def within(names: set[str], packages: set[str]) -> set[str]:
    return {name for name in names for package in packages if f"{name}.".startswith(f"{package}.")}


def room_of(module: str) -> str:
    """The room of the plan that a module is in, or that a name of it is taken from."""
    name = module.removeprefix("gcseg.")
    rooms = [room for floor in FLOORS for room in floor if f"{name}.".startswith(f"{room}.")]
    assert rooms or "." not in name, f"{module} is in no room of the plan"
    return max(rooms, key=len) if rooms else "__init__"  # a name of gcseg itself, as __version__


def floor_of(room: str) -> int:
    return next(number for number, floor in enumerate(FLOORS) if room in floor)


@pytest.mark.parametrize("file", [file for file in FILES if file not in STUBS])
def test_imports_point_downward(file):
    room = room_of(file.removesuffix(".py").replace("/", "."))
    for name in within(imported(file), {"gcseg"}):
        other = room_of(name)
        assert other == room or floor_of(other) < floor_of(room), f"{file} imports {name}"


def at_import(file: str) -> set[str]:
    """The modules that are imported when a file is, those that functions import left out."""
    found = set()
    waiting = list(ast.parse((PACKAGE / file).read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found.add(name if is_module(name) else node.module)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            waiting += [] if checking else list(ast.iter_child_nodes(node))
    around = set(files_of("gcseg." + file.removesuffix(".py").replace("/", "."))) - {file}
    needed = set()
    for name in found:
        *packages, target = files_of(name) or ["__init__.py"]
        needed |= {*packages} - around | {target}  # what a file is in is imported before it
    return needed - {file}


def is_module(name: str) -> bool:
    path = name.removeprefix("gcseg.").replace(".", "/")
    return f"{path}.py" in FILES or f"{path}/__init__.py" in FILES


def files_of(name: str) -> list[str]:
    """A module's file, after those of the packages that it is in, which are imported with it."""
    parts = name.split(".")[1:] if name.startswith("gcseg.") else []
    packages = ["/".join([*parts[:end], "__init__.py"]) for end in range(1, len(parts) + 1)]
    return [file for file in [*packages, "/".join(parts) + ".py"] if file in FILES]


def test_imports_go_in_no_circle():
    imports = {file: at_import(file) for file in FILES}
    while imports:  # take away what waits for nothing, until nothing is left
        ready = {file for file, needed in imports.items() if not needed & imports.keys()}
        assert ready, f"these import each other: {sorted(imports)}"
        imports = {file: needed for file, needed in imports.items() if file not in ready}


@pytest.mark.parametrize("file", sorted(STUBS - {"__init__.py", "train.py"}))
def test_stubs_only_start_a_command(file):
    name = file.removesuffix("/__main__.py").removesuffix(".py")
    assert within(imported(file), {"gcseg"}) == {f"gcseg.commands.{name}.main"}
    assert len((PACKAGE / file).read_text().splitlines()) < 10


def test_the_root_shows_commands_and_little_else():
    roots = {file for file in FILES if "/" not in file}
    rooms = {f"{room}.py" for floor in FLOORS for room in floor if "." not in room}
    assert roots == {file for file in STUBS if "/" not in file} | (rooms & roots)
    assert rooms & roots == {"__init__.py", "errors.py", "optim.py"}


@pytest.mark.parametrize("file", FILES)
def test_few_rooms_know_the_frameworks(file):
    room, names = file.partition("/")[0], imported(file)
    assert room in KNOW_HYDRA or not within(names, {"hydra", "omegaconf"})
    assert room in KNOW_LIGHTNING or not within(names, {"pytorch_lightning", "lightning"})
    assert room in KNOW_LOGGERS or not within(names, {"wandb", "torchmetrics"})


@pytest.mark.parametrize("file", [file for file in FILES if file.startswith("models/")])
def test_networks_know_nothing_but_torch(file):
    assert not within(imported(file), {"gcseg"}) - within(
        imported(file), {"gcseg.models", "gcseg.errors"}
    )


@pytest.mark.parametrize("file", LIGHT)
def test_commands_import_nothing_heavy_at_their_top(file):
    for node in ast.parse((PACKAGE / file).read_text()).body:
        if isinstance(node, ast.Import):
            assert not within({alias.name for alias in node.names}, HEAVY)
        elif isinstance(node, ast.ImportFrom):
            assert not within({f"{node.module}.{alias.name}" for alias in node.names}, HEAVY)
