"""Names of classes, files, runs and folders are text, wherever they are printed or written."""

import csv
import html
import io
import json
import re
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.styled import Styled
from rich.table import Table

from gcseg.commands.arguments import ArgumentParser
from gcseg.errors import DataError
from gcseg.sweeps.ledger import Ledger
from gcseg.system.terminal import TextConsole, announce, progress_bar
from gcseg.system.text import as_override, say
from tests import running
from tests.data.trees import mask, picture, write

ODD = "[/van] [b]x[/b] :car: %s {a} $y_1$ \x1b[31m\r\n\u202e"
SHOWN = "[/van] [b]x[/b] :car: %s {a} $y_1$ \\x1b[31m\\r\\n\\u202e"

CLASSES = ("car [/van]", "$x_1$ $", "%s {a} {0:d}", "_a, \"b\" 'c'", "</script>:car:\u202eback")
FILES = ("a [/b] $c_1$", "%s {0} 'q' \x1b[31mred\x1b[0m", 'e, "f"\r\n<b>&g', "\u202eback")
ROOT = "my [new] $d_1$ {e} %s, 'x'"
RUNS = "runs [/x] $y_1$ {b}=c"

CROP = ("dataset.crop.height=32", "dataset.crop.width=32")

ACTING = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What acts on a terminal, but for the end of a line."""


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A working folder with a dataset of odd names, its finished training and what that printed."""
    cwd = tmp_path_factory.mktemp("odd")
    for split in ("train", "val"):
        for index, name in enumerate(FILES, 10 * (split == "val")):
            write(cwd / ROOT / "images" / split / f"{name}.png", picture(index, 32, 32))
            write(cwd / ROOT / "labels" / split / f"{name}.png", mask(index, range(5), 32, 32))
    (cwd / ROOT / "classes.yaml").write_text(json.dumps({"classes": CLASSES}))
    outcome = run(
        cwd, "train", *own(RUNS), *running.SMALL, "backbone._target_=tests.tiny.backbone",
        *CROP, "report=true",
        *("iters=1", "val_every=1", "log_every=1", "logger=tensorboard"),
    )  # fmt: skip
    return cwd, running.only_run(cwd / RUNS), outcome.out


def own(runs):
    """The dataset, and where to write."""
    return "dataset=folder", as_override("dataset.root", ROOT), as_override("run_root", runs)


def run(cwd, command, *overrides):
    """Run a command, which succeeds and prints nothing that acts on a terminal."""
    outcome = running.run(command, *overrides, cwd=cwd)
    assert outcome.status == 0, outcome.err
    assert not ACTING.search(outcome.out + outcome.err)
    return outcome


def test_the_table_of_a_training(odd):
    printed = odd[2]
    for name in (*CLASSES[:-1], "</script>:car:\\u202eback"):
        assert f"│ {name} " in printed
    assert ROOT in printed and RUNS in printed


def test_the_files_of_a_training(odd):
    folder = odd[1]
    assert ROOT in folder.name
    with (folder / "metrics.csv").open(newline="") as file:
        (header, *_) = csv.reader(file)
    assert [name for name in header if name.startswith("val/iou/")] == [
        f"val/iou/{name}" for name in CLASSES
    ]
    results = json.loads((folder / "results.json").read_text())
    assert tuple(results["evaluations"]["none"]["class_iou"]) == CLASSES
    with (folder / results["evaluations"]["none"]["confusion"]).open(newline="") as file:
        assert tuple(next(csv.reader(file))[1:]) == CLASSES
    with (folder / "analysis" / "none.csv").open(newline="") as file:
        assert sorted(row["name"] for row in csv.DictReader(file)) == sorted(FILES)


def test_its_report(odd):
    page = (odd[1] / "report.html").read_text()
    assert not ACTING.search(page)
    assert not re.search("<script|</script", page)
    for name in CLASSES[:-1]:
        assert html.escape(name) in page
    assert "<b>&g" not in page and "&lt;b&gt;&amp;g" in page


@pytest.mark.parametrize("about", ["predict", "report"])
def test_the_commands_that_it_ends_with(odd, about):
    cwd, _, printed = odd
    (line,) = [line for line in printed.splitlines() if line.startswith(f"{about}: ")]
    module, *overrides = shlex.split(line.removeprefix(f"{about}: python -m gcseg."))
    outcome = run(cwd, module, *overrides, "accelerator=cpu")
    assert ROOT in outcome.out
    if about == "predict":
        masks = [path.relative_to(cwd).as_posix() for path in cwd.rglob("masks/**/*.png")]
        for name in FILES:
            assert any(path.endswith(f"/masks/{name}.png") for path in masks)


def test_scored_again_with_explanations(odd):
    cwd, folder, _ = odd
    checkpoint = as_override("checkpoint", folder.relative_to(cwd))
    outcome = run(cwd, "eval", checkpoint, "explain=true", "accelerator=cpu", "num_workers=0")
    assert f"│ {CLASSES[0]} " in outcome.out


@pytest.mark.parametrize("action", ["check", "stats", "browse"])
def test_the_data_commands(odd, action):
    cwd, *_ = odd
    outcome = run(cwd, "data", action, *own(f"out {ODD}"), *CROP)
    assert f"out {SHOWN}" in outcome.out
    if action != "browse":
        assert f"│ {CLASSES[0]} " in outcome.out
    for page in cwd.glob("out*/**/*.html"):
        assert not ACTING.search(page.read_text())


def test_a_missing_file_of_an_odd_name(odd, tmp_path):
    write(tmp_path / "images" / "train" / f"{ODD}.png".replace("/", ""), picture(0))
    (tmp_path / "classes.yaml").write_text(json.dumps({"classes": CLASSES}))
    (tmp_path / "labels" / "train").mkdir(parents=True)
    outcome = running.run(
        "data", "stats", "dataset=folder", f"dataset.root={tmp_path}", cwd=tmp_path
    )
    assert not ACTING.search(outcome.error)
    assert "[van] [b]x[b] :car:" in outcome.error


def test_a_list_of_sweeps(tmp_path):
    folder = tmp_path / "sweeps" / ODD.replace("/", "")
    ledger = Ledger(folder / "ledger.sqlite")
    for number in (0, 1):
        words = [f"tag={ODD}{number}", "iters=2"]
        settings = {"modes": ["none"], "backbone": ODD}
        ledger.add(str(number), number, overrides=words, training=str(number), settings=settings)
    ledger.finish("1", "failed", error=f"no {ODD}")
    listed = run(tmp_path, "sweeps", "list", "--run-root", ".")
    assert SHOWN.replace("/", "") in listed.out
    shown = run(tmp_path, "sweeps", "show", f"sweeps/{folder.name}")
    assert f"failed: job 1 (tag={SHOWN}1): no {SHOWN}" in shown.out


def test_consoles_and_lines(capsys):
    console = TextConsole(file=io.StringIO(), width=300)
    table = Table(title=ODD)
    table.add_column(ODD)
    table.add_row(ODD)
    table.add_row(Styled(ODD, "bold"))
    console.print(table)
    console.print(ODD, style="bold")
    assert console.file.getvalue().count(SHOWN) == 5
    say(ODD, ODD)
    say(ODD, error=True)
    announce(ODD)
    with progress_bar(ODD) as progress:
        progress(1, 2)
    assert capsys.readouterr() == (f"{SHOWN}\n{SHOWN}\n", f"{SHOWN}\n{SHOWN}\n")


def test_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")
    with progress_bar(ODD) as progress:
        progress(1, 2)
    assert SHOWN in capsys.readouterr().err


def test_errors(capsys):
    assert str(DataError(f"{ODD}.png is damaged", f"remove {ODD}")) == (
        "[/van] [b]x[/b] :car: %s {a} $y_1$ \\x1b[31m \\u202e.png is damaged: "
        "remove [/van] [b]x[/b] :car: %s {a} $y_1$ \\x1b[31m \\u202e"
    )
    with pytest.raises(SystemExit):
        ArgumentParser(prog="x").parse_args([ODD])
    error = capsys.readouterr().err
    assert SHOWN in error and not ACTING.search(error)


@pytest.mark.parametrize(
    "value",
    ["runs/a-b_1.ckpt", ROOT, RUNS, "a,b", "epoch=1-step=4.ckpt", "a\\b", "C:\\x\\'y\\", " a ", "",
     "null", "True", "1e5", "-", "a#b", "é", ODD],
)  # fmt: skip
def test_overrides_to_paste(value):
    assert OverridesParser.create().parse_override(as_override("key", value)).value() == value


def test_plain_paths_stay_as_they_are():
    assert as_override("run", "runs/r18-gc_1.5@a") == "run=runs/r18-gc_1.5@a"
