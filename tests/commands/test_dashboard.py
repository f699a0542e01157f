"""gcseg.dashboard: what it defines, without W&B, and what it says where it can't."""

import importlib.util
import json
import os

import pytest

from gcseg.engine.loggers import wandb as wandb_logger
from gcseg.engine.loggers import wandb_dashboard
from tests.running import start


@pytest.fixture(autouse=True)
def no_account(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))


def panels(part):
    """Every panel of a definition, by its kind."""
    found = {}

    def look(at):
        if isinstance(at, dict):
            if "viewType" in at:
                found.setdefault(at["viewType"], []).append(at)
            for value in at.values():
                look(value)
        elif isinstance(at, list):
            for value in at:
                look(value)

    look(part)
    return found


def test_definitions_go_to_a_file_without_a_network(run, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", None)
    outcome = run("dashboard", "entity=me", "project=streets", "modes=[none,mine]",
                  "compare=[optim.lr]", "output=made/dashboard.json")  # fmt: skip
    assert outcome.status == 0, outcome.err
    assert outcome.out == "dashboard: made/dashboard.json\n"
    made = json.loads((tmp_path / "made" / "dashboard.json").read_text())
    assert (made["workspace"]["entity"], made["workspace"]["project"]) == ("me", "streets")
    assert made["report"]["project"] == made["report"]["project"] | {"name": "streets"}
    for part in made.values():
        found = panels(part)
        curves = [one["config"] for one in found["Run History Line Plot"]]
        assert {one["xAxis"] for one in curves} == {wandb_logger.STEP}
        shown = {name for one in curves for name in one["metrics"] or ()}
        assert {"train/loss", "train/gradient_norm", "val/miou"} <= shown
        (bars,) = found["Bar Chart"]
        assert bars["config"]["metrics"] == ["eval/none/miou", "eval/mine/miou"]
        (coordinates,) = found["Parallel Coordinates Plot"]
        columns = [one["accessor"] for one in coordinates["config"]["columns"]]
        assert columns == ["config:optim.value.lr", "summary:eval/none/miou"]
        assert [one["config"]["mediaKeys"] for one in found["Media Browser"]] == [["val/panel"]]
        (confusion,) = found["Vega2"]
        assert confusion["config"]["panelDefId"] == "wandb/confusion_matrix/v1"
        assert "eval/none/confusion_matrix_table" in json.dumps(confusion)
        assert "eval/class_iou" in json.dumps(found["Weave"])


def test_panels_of_the_report_do_not_overlap(run, tmp_path):
    made = wandb_dashboard.definitions(
        wandb_dashboard.Dashboard("p", "me", "name", ["none"], ["optim.lr", "seed"])
    )
    grids = [b for b in made["report"]["spec"]["blocks"] if b.get("type") == "panel-grid"]
    assert len(grids) == 6
    for grid in grids:
        places = [
            (one["layout"]["x"], one["layout"]["y"])
            for many in panels(grid).values()
            for one in many
        ]
        assert len(places) == len(set(places)) > 0


def test_saving_prints_where_they_are(run, monkeypatch):
    shown = []

    def save(dashboard):
        shown.append(dashboard)
        return {"workspace": "https://a", "report": "https://b"}

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_dashboard, "save", save)
    outcome = run("dashboard", "entity=me", "name=Nightly")
    assert outcome.out == "workspace: https://a\nreport: https://b\n", outcome.err
    assert (shown[0].entity, shown[0].project, shown[0].name) == ("me", "gcseg", "Nightly")
    assert shown[0].modes == ["none", "flip", "msflip"]


def test_what_wandb_says_is_one_line(run, monkeypatch):
    def refuse(_):
        raise RuntimeError("no such\nentity")

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb_dashboard, "workspace", refuse)
    assert run("dashboard", "entity=me").error == (
        "W&B refuses project=gcseg entity=me (RuntimeError: no such entity): "
        "check both, the key and the network"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["entity=me"], "there is no API key for W&B: run wandb login or set WANDB_API_KEY, or "
                        "give output=FILE to have the definitions in a file"),
        (["modes=none"], "modes=none: give a list of names"),
        (["compare=[]"], "compare=[]: give a list of names"),
        (["project=null"], "project=null: give a name"),
        (["project=a/b"], "project=a/b: give at most 128 characters, and none of / "),
        (["entity=3"], "entity=3: give a name, in quotes as "),
        (["projct=a"], "there is no setting 'projct': did you mean project?"),
    ],
)  # fmt: skip
def test_mistakes_are_told(run, arguments, message):
    assert run("dashboard", *arguments).error.startswith(message)


def test_switched_off(run, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert run("dashboard").error.startswith("WANDB_MODE=offline: unset it, or give output=FILE")


def test_it_is_an_extra(run, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "wandb_workspaces" else find(name)
    )
    assert run("dashboard", "output=a.json").error == (
        "gcseg.dashboard needs wandb-workspaces: pip install 'gcseg[dashboards]'"
    )


def test_help_imports_nothing_heavy(tmp_path):
    done = start("dashboard", "--help", cwd=tmp_path, options=("-X", "importtime"))
    assert done.returncode == 0 and "python -m gcseg.dashboard project=gcseg" in done.stdout
    modules = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert not modules & {"torch", "wandb", "wandb_workspaces", "numpy", "pytorch_lightning"}


def test_the_axis_is_the_loggers():
    assert wandb_dashboard.STEP == wandb_logger.STEP
