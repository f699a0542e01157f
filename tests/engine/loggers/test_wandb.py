"""A training as a W&B run: what an offline run holds, read back, and how runs begin and end."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import wandb
import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args

from gcseg.config.checks import check
from gcseg.data.label_spaces import LabelSpace
from gcseg.engine import loggers
from gcseg.engine.callbacks.panel import PanelImage
from gcseg.engine.loggers import wandb as wandb_logger
from gcseg.errors import StoppedBySignal
from tests.engine.loggers.conftest import nobody_logged_in
from tests.running import REPOSITORY, TINY, compose
from tests.wandb_files import offline_runs
from tests.wandb_server import wandb_server

SPACE = LabelSpace(("road", "traffic light", "sky"))
NAME = "r18-gc-scenes-40it-s0-1a2b3c4d"
KEY = "0" * 40
CONFIG = {"backbone": {"name": "r18", "depth": 18}, "iters": 40, "seeds": None}
SCORES = {
    "none": {"miou": 0.5, "pixel_accuracy": 0.9, "class_iou": {"road": 0.6, "sky": None},
             "class_f1": {"road": 0.75, "sky": None}},
    "flip": {"miou": 0.6, "pixel_accuracy": 0.8, "ece": 0.1, "mean_f1": 0.65,
             "class_iou": {"road": 0.7}, "class_f1": {}},
}  # fmt: skip
MATRIX = torch.tensor([[5, 1, 0], [2, 7, 0], [0, 0, 2**40]])


def run_folder(path: Path, name: str = NAME) -> Path:
    folder = path / "runs" / name
    folder.mkdir(parents=True)
    return folder


def checkpoint(path: Path, step: int) -> Path:
    torch.save({"state_dict": {}, "global_step": step}, path)
    return path


def picture(seed: int) -> PanelImage:
    drawn = np.random.default_rng(seed)
    truth = drawn.choice(np.array([0, 1, 2, 255], np.uint8), (8, 12))
    image = drawn.integers(0, 256, (8, 12, 3)).astype(np.uint8)
    return PanelImage(f"image {seed}", image, truth, drawn.integers(0, 3, (8, 12)).astype(np.uint8))


def log_all(folder: Path) -> None:
    """All that a training logs, by a logger of its own."""
    (folder / "metrics.csv").write_text("step,train/loss,val/miou\n9,1.5,\n19,,0.5\n39,,0.25\n")
    (folder / "report.html").write_text("<h1>what came of it</h1>")
    logger = loggers.wandb_logger(
        folder, CONFIG, project="streets", tags=("a",), sweep="backbone-12", checkpoints=True
    )
    with loggers.finishing(lambda: [logger]):
        logger.log_metrics({"train/loss": 1.5, "train/gradient_norm": 2.0, "epoch": 0}, 9)
        logger.log_metrics({"val/miou": 0.5, "epoch": 0}, 19)
        logger.log_panel([picture(0), picture(1)], SPACE, 19)
        logger.log_metrics({"val/miou": 0.25, "epoch": 0}, 39)
        loggers.log_scores([logger], SCORES, {"none": MATRIX, "flip": MATRIX}, SPACE.names, 40)
        loggers.log_report([logger], folder / "report.html")
        last, best = (checkpoint(folder / f"{name}.ckpt", 40) for name in ("last", "best"))
        loggers.log_checkpoints([logger], best, last)


@pytest.fixture(scope="module")
def logged(tmp_path_factory):
    """A finished run, without a key, read back."""
    path = tmp_path_factory.mktemp("wandb")
    with nobody_logged_in(path):
        folder = run_folder(path)
        log_all(folder)
        assert not [name for name in os.environ if name.startswith("WANDB_") and "_DIR" in name]
    (offline,) = offline_runs(folder)
    return offline


def test_the_run_is_the_training(logged):
    run = logged.run
    assert (run.run_id, run.display_name, run.project) == ("1a2b3c4d", NAME, "streets")
    assert (run.run_group, list(run.tags), logged.exit_code) == ("backbone-12", ["a"], 0)
    assert {key: value for key, value in logged.config.items() if key != "_wandb"} == CONFIG


def test_curves_are_over_optimizer_steps(logged):
    assert logged.logged("train/loss") == [(9, 1.5)]
    assert logged.logged("train/gradient_norm") == [(9, 2.0)]
    assert logged.logged("val/miou") == [(19, 0.5), (39, 0.25)]
    assert not logged.logged("epoch")
    metrics = logged.of_kind("metric")
    assert [one.step_metric for one in metrics if one.glob_name == "*"] == [wandb_logger.STEP]
    assert logged.summary["best/val_miou"] == 0.5 and logged.summary["best/step"] == 19


def test_scores_and_tables(logged):
    assert logged.logged("eval/none/miou") == [(40, 0.5)]
    assert logged.logged("eval/flip/ece") == [(40, 0.1)]
    assert logged.logged("eval/flip/iou/road") == [(40, 0.7)]
    assert logged.summary["eval/flip/miou"] == 0.6
    columns, rows = logged.table("eval/class_iou")
    assert columns == ["class", "none", "flip"]
    assert rows == [["road", 0.6, 0.7], ["traffic light", None, None], ["sky", None, None]]


def test_confusion_matrices(logged):
    columns, rows = logged.table("eval/none/confusion_matrix_table")
    assert columns == ["Actual", "Predicted", "nPredictions"] and len(rows) == 9
    counts = {(true, predicted): count for true, predicted, count in rows}
    assert counts["road", "traffic light"] == 1 and counts["traffic light", "road"] == 2
    assert counts["sky", "sky"] == 2**40
    charts = [item for one in logged.of_kind("config") for item in one.update]
    assert "wandb/confusion_matrix/v1" in str(charts[-1] if charts else "")


def test_pictures_have_masks_of_class_indices(logged):
    panel = logged.last("val/panel")
    assert panel["captions"] == ["image 0", "image 1"]
    assert logged.logged("val/panel.count") == [(19, 2)]
    for seed, masks in enumerate(panel["all_masks"]):
        wanted = picture(seed)
        for kind, pixels in (
            ("truth", wanted.truth),
            ("prediction", wanted.prediction),
            ("errors", wanted.errors),
        ):
            assert np.array_equal(logged.pixels(masks[kind]["path"]), pixels)
        assert logged.pixels(panel["filenames"][seed]).shape == (8, 12, 3)
    assert set(np.unique(picture(0).errors)) == {0, 1, 255}
    config = str(logged.of_kind("config"))
    assert "val/panel_wandb_delimeter_truth" in config and "traffic light" in config


def test_report_and_checkpoints(logged):
    page = logged.folder / "files" / logged.last("report")["path"]
    assert page.read_text() == "<h1>what came of it</h1>"
    (model,) = [one for one in logged.of_kind("artifact") if one.type == "model"]
    assert model.name == NAME and set(model.aliases) == {"best", "last", "latest"}
    (entry,) = model.manifest.contents
    assert entry.path == "model.ckpt" and Path(entry.local_path).is_file()


def test_nothing_is_written_outside_the_run_folder(logged):
    folder = logged.folder.parents[1]
    home = folder.parents[1] / "home"
    assert not [path for path in home.rglob("*") if "wandb" in str(path.relative_to(home))]
    for artifact in logged.of_kind("artifact"):
        for entry in artifact.manifest.contents:
            assert Path(entry.local_path).is_relative_to(folder)


def test_best_and_last_of_two_steps_are_two_versions(tmp_path, no_account):
    logger = loggers.wandb_logger(run_folder(tmp_path), {}, project="p", checkpoints=True)
    best, last = (checkpoint(tmp_path / f"{step}.ckpt", step) for step in (20, 40))
    logger.log_checkpoints(best, last)
    logger.finish(0)
    (offline,) = offline_runs(tmp_path / "runs" / NAME)
    found = [(set(one.aliases), one.metadata) for one in offline.of_kind("artifact")]
    assert found == [
        ({"best", "latest"}, '{"step":20}'),
        ({"last", "latest"}, '{"step":40}'),
    ]


def test_a_training_that_is_stopped_and_goes_on_is_one_run(tmp_path, no_account):
    folder = run_folder(tmp_path)
    steps = (range(3), range(2, 5))
    for part, error in zip(steps, (StoppedBySignal(signal.SIGTERM, 2), None), strict=True):
        logger = loggers.wandb_logger(folder, {}, project="p")
        try:
            with loggers.finishing(lambda logger=logger: [logger]):
                for step in part:
                    logger.log_metrics({"train/loss": 1.0}, step)
                if error:
                    raise error
        except StoppedBySignal:
            pass
    first, second = offline_runs(folder)
    assert (first.exit_code, second.exit_code) == (75, 0)
    assert len(first.of_kind("preempting")) == 1 and not second.of_kind("preempting")
    assert first.run.run_id == second.run.run_id == "1a2b3c4d"
    for offline, part in ((first, steps[0]), (second, steps[1])):
        assert [step for step, _ in offline.logged("train/loss")] == list(part)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (NAME, "1a2b3c4d"),
        (f"{NAME}-2", "1a2b3c4d-2"),
        ("r50-gc-my-s3-data-40it-s12-0a1b2c3d", "0a1b2c3d"),
        ("mine", "mine"),
        ("a?b", "a-b"),
    ],
)
def test_the_id_is_the_fingerprint(name, wanted):
    assert wandb_logger.run_id(name) == wanted


def test_a_wrong_key_or_none_makes_it_offline(tmp_path, no_account, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_MODE", "online")
    for key, told in (("", "no API key for WANDB_MODE=online"), ("abc", "stays offline (Auth")):
        monkeypatch.setenv("WANDB_API_KEY", key)
        folder = run_folder(tmp_path, f"{NAME[:-8]}{'0' * 7}{len(key)}")
        logger = loggers.wandb_logger(folder, {}, project="p")
        logger.log_metrics({"a": 1.0}, 0)
        logger.finish(0)
        (offline,) = offline_runs(folder)
        assert offline.logged("a") == [(0, 1)]
        assert told in capsys.readouterr().err


def test_no_network_makes_it_offline(tmp_path, no_account, monkeypatch, capsys):
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # where nothing answers
    monkeypatch.setattr(wandb_logger, "SECONDS_TO_START", 2.0)
    folder = run_folder(tmp_path)
    logger = loggers.wandb_logger(folder, {}, project="p")
    logger.log_metrics({"a": 1.0}, 0)
    logger.finish(0)
    (offline,) = offline_runs(folder)
    assert offline.logged("a") == [(0, 1)]
    assert [path.name for path in folder.glob("wandb/run-*")] == []
    (line,) = [one for one in capsys.readouterr().err.splitlines() if "offline" in one]
    assert line.startswith("W&B stays offline (CommError:")


def test_disabled_is_the_users(tmp_path, no_account, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    folder = run_folder(tmp_path)
    log_all(folder)
    assert os.environ["WANDB_MODE"] == "disabled"
    assert not offline_runs(folder)


def test_folders_are_the_users(tmp_path, no_account, monkeypatch):
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "mine"))
    log_all(run_folder(tmp_path))
    assert list((tmp_path / "mine").rglob("*")) and os.environ["WANDB_DATA_DIR"]


def test_what_wandb_refuses_does_not_end_a_training(tmp_path, no_account, monkeypatch, capsys):
    logger = loggers.wandb_logger(run_folder(tmp_path), {}, project="p")
    logger.log_metrics({"a": 1.0}, 0)

    def full(*_, **__):
        raise OSError("no space left")

    monkeypatch.setattr(type(logger.experiment), "log", full)
    logger.log_metrics({"a": 1.0}, 1)
    logger.log_metrics({"a": 1.0}, 2)
    logger.log_panel([picture(0)], SPACE, 2)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("warning")]
    assert told == [
        "warning: W&B did not receive the metrics (OSError: no space left)",
        "warning: W&B did not receive the pictures (OSError: no space left)",
    ]
    logger.finish(1)


def test_only_the_first_process_talks_to_wandb(tmp_path, no_account, monkeypatch):
    from pytorch_lightning.utilities import rank_zero_only

    monkeypatch.setattr(rank_zero_only, "rank", 1)
    folder = run_folder(tmp_path)
    log_all(folder)
    assert wandb.run is None and not (folder / "wandb").exists()


def test_the_agent_of_a_sweep_names_its_runs(tmp_path, no_account, monkeypatch, capsys):
    parameters = tmp_path / "parameters.yaml"
    parameters.write_text("wandb_version: 1\nbackbone: {value: r34}\noptim.lr: {value: 0.02}\n")
    monkeypatch.delenv("WANDB_SILENT")
    for name, value in (
        ("SWEEP_ID", "sw33p"),
        ("RUN_ID", "ag3nt"),
        ("PROJECT", "theirs"),
        ("SWEEP_PARAM_PATH", str(parameters)),
    ):
        monkeypatch.setenv(f"WANDB_{name}", value)
    folder = run_folder(tmp_path)
    logger = loggers.wandb_logger(folder, CONFIG, project="p")
    logger.log_metrics({"a": 1.0}, 0)
    logger.finish(0)
    (offline,) = offline_runs(folder)
    run = offline.run
    assert (run.run_id, run.project, run.sweep_id) == ("ag3nt", "theirs", "sw33p")
    assert offline.config["optim.lr"] == 0.02 and offline.config["iters"] == 40
    told = capsys.readouterr().err
    assert "Tracking run" in told and "Ignoring" not in told, told


def test_the_agent_of_a_sweep_gives_a_command_that_composes():
    sweep = yaml.safe_load((REPOSITORY / "tools" / "wandb_sweep.yaml").read_text())
    chosen = {"backbone": "r34", "optim.lr": 3.2e-05, "optim.weight_decay": 0.0005}
    assert chosen.keys() <= sweep["parameters"].keys()
    for name, parameter in sweep["parameters"].items():
        if name not in chosen:
            chosen[name] = parameter["values"][0]
    given = create_sweep_command_args({"args": {k: {"value": v} for k, v in chosen.items()}})
    given |= {"env": ["/usr/bin/env"], "program": [sweep["program"]]}
    command = []
    for part in create_sweep_command(sweep["command"]):
        macro = part.startswith("${") and part.endswith("}")
        command += given[part[2:-1]] if macro else [part]
    assert command[:4] == ["/usr/bin/env", "python", "-m", "gcseg.train"]
    cfg = compose("train", *command[4:])
    check(cfg)
    assert cfg.backbone.name == "r34" and cfg.optim.lr == 3.2e-05
    assert cfg.logger._target_ == "gcseg.engine.loggers.wandb_logger"
    assert sweep["metric"] == {"name": "eval/none/miou", "goal": "maximize"}


@pytest.mark.slow
def test_wandb_sync_sends_what_was_logged(logged, tmp_path, no_account, monkeypatch):
    """Two offline folders of one training become one run."""
    folder = logged.folder.parents[1]
    resumed = loggers.wandb_logger(folder, CONFIG, project="streets")
    resumed.log_metrics({"train/loss": 1.0}, 41)
    resumed.finish(0)
    with wandb_server() as received:
        monkeypatch.setenv("WANDB_BASE_URL", received.url)
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        done = subprocess.run(
            [sys.executable, "-m", "wandb", "sync", "--yes", str(folder / "wandb")],
            capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL, cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    shutil.rmtree(offline_runs(folder)[1].folder)
    assert set(received.runs) == {"1a2b3c4d"} and received.exits == {"1a2b3c4d": 0}
    first = received.runs["1a2b3c4d"][0]
    assert (first["displayName"], first["groupName"]) == (NAME, "backbone-12")
    lines = received.history["1a2b3c4d"]
    assert sorted(lines) == list(range(len(lines)))
    losses = [(one[wandb_logger.STEP], one["train/loss"]) for one in lines.values()
              if "train/loss" in one]  # fmt: skip
    assert losses == [(9, 1.5), (41, 1.0)]
    aliases = [{alias["alias"] for alias in one["aliases"]} for one in received.artifacts
               if one["artifactTypeName"] == "model"]  # fmt: skip
    assert aliases == [{"best", "last", "latest"}]
    for kind in ("images/val", "images/mask/val", "table/eval", "html"):
        assert any(name.startswith(f"media/{kind}") for name in received.files), kind
    assert b"PK" in received.stored["/store/artifact/model.ckpt"][:4]


def test_a_training(run, tmp_path, no_account, training):
    """Needs gcseg.train to hand the loggers over. The same training without W&B is the same."""
    arguments = [argument for argument in TINY if argument != "report=false"]
    outcome = run("train", *arguments, "tta=all", "logger=wandb", "logger.checkpoints=true")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    (offline,) = offline_runs(folder)
    assert (offline.exit_code, offline.run.display_name) == (0, folder.name)
    assert offline.run.run_id == folder.name[-8:]
    for name in ("loss", "loss_main", "loss_auxiliary", "learning_rate", "gradient_norm",
                 "images_per_second", "memory_bytes"):  # fmt: skip
        assert [step for step, _ in offline.logged(f"train/{name}")] == [0, 1, 2], name
    assert [step for step, _ in offline.logged("val/miou")] == [1, 2]
    for mode in ("none", "flip", "msflip"):
        assert [step for step, _ in offline.logged(f"eval/{mode}/miou")] == [3]
        assert len(offline.table(f"eval/{mode}/confusion_matrix_table")[1]) == 19**2
    assert offline.table("eval/class_iou")[0] == ["class", "none", "flip", "msflip"]
    assert [step for step, _ in offline.logged("val/panel.count")] == [1, 2]
    truth = offline.pixels(offline.last("val/panel")["all_masks"][0]["truth"]["path"])
    assert truth.shape == (64, 96) and set(np.unique(truth)) <= {*range(19), 255}
    assert "report.path" in offline.history[-1]
    assert [one.name for one in offline.of_kind("artifact") if one.type == "model"]
    assert offline.config["backbone"]["name"] == "r18"
    for name in ("last.ckpt", "best.ckpt"):
        mine, plain = (
            torch.load(one / "checkpoints" / name, weights_only=True)["state_dict"]
            for one in (folder, training.folder)
        )
        assert mine.keys() == plain.keys()
        assert all(torch.equal(mine[key], plain[key]) for key in mine)


def test_more_classes_than_a_plot_takes_are_a_table_of_confusions(no_account):
    counts = torch.arange(101 * 101).reshape(101, 101)
    names = [f"class {index}" for index in range(101)]
    table = wandb_logger.confusion_table(counts, names)
    assert len(table.data) == 1000
    assert table.data[0] == ["class 100", "class 99", 100 * 101 + 99], "the diagonal is right"
    assert all(row[0] != row[1] for row in table.data)
