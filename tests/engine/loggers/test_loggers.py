"""Loggers beside metrics.csv: TensorBoard, what all are handed at the end, and how they end."""

import signal

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gcseg.data.label_spaces import LabelSpace
from gcseg.engine import loggers
from gcseg.engine.callbacks.panel import PanelImage
from gcseg.errors import ConfigError, StoppedBySignal
from tests.running import TINY

SPACE = LabelSpace(("road", "traffic light", "sky"))
SCORES = {
    "none": {"miou": 0.5, "pixel_accuracy": 0.9, "class_iou": {"road": 0.6, "sky": None},
             "class_f1": {"road": 0.75, "sky": None}},
    "flip": {"miou": 0.6, "pixel_accuracy": 0.8, "ece": 0.1, "mean_f1": 0.65,
             "class_iou": {"road": 0.7}, "class_f1": {}},
}  # fmt: skip


class Kept:
    """A logger that keeps what it is handed."""

    def __init__(self):
        self.rows = []

    def log_metrics(self, metrics, step):
        self.rows.append((step, metrics))


def test_scores_have_the_same_names_for_all_loggers():
    kept = Kept()
    loggers.log_scores([kept], SCORES, {"none": torch.eye(3)}, SPACE.names, 40)
    assert kept.rows == [
        (
            40,
            {
                "eval/none/miou": 0.5,
                "eval/none/pixel_accuracy": 0.9,
                "eval/none/iou/road": 0.6,
                "eval/flip/miou": 0.6,
                "eval/flip/pixel_accuracy": 0.8,
                "eval/flip/mean_f1": 0.65,
                "eval/none/f1/road": 0.75,
                "eval/flip/ece": 0.1,
                "eval/flip/iou/road": 0.7,
            },
        )
    ]


def behind_another_error():
    try:
        raise StoppedBySignal(signal.SIGUSR1, 3)
    except StoppedBySignal as left:
        raise RuntimeError("a library tripped") from left


def fail(error):
    raise error


@pytest.mark.parametrize(
    ("act", "ending", "kind"),
    [
        (lambda: None, (0, False), type(None)),
        (lambda: fail(ValueError("no")), (1, False), ValueError),
        (lambda: fail(ConfigError("no")), (1, False), ConfigError),
        (lambda: fail(KeyboardInterrupt()), (130, False), KeyboardInterrupt),
        (lambda: fail(SystemExit(3)), (3, False), SystemExit),
        (lambda: fail(SystemExit("no")), (1, False), SystemExit),
        (lambda: fail(SystemExit()), (0, False), SystemExit),
        (lambda: fail(StoppedBySignal(signal.SIGTERM, 3)), (75, True), StoppedBySignal),
        (lambda: fail(StoppedBySignal(signal.SIGINT, 3)), (130, False), StoppedBySignal),
        (behind_another_error, (75, True), RuntimeError),
    ],
)
def test_loggers_learn_how_the_process_ends(act, ending, kind, tmp_path, monkeypatch):
    endings = []
    monkeypatch.setattr(
        loggers.WandbRunLogger,
        "finish",
        lambda self, status, preempted: endings.append((status, preempted)),
    )
    logger = loggers.wandb_logger(tmp_path / "name", {}, project="p")
    raised = None
    try:
        with loggers.finishing(lambda: [Kept(), logger]):
            act()
    except BaseException as error:
        raised = error
    assert endings == [ending]
    assert type(raised) is kind


def test_tensorboard_has_curves_and_pictures(tmp_path):
    logger = loggers.tensorboard_logger(tmp_path, {}, sweep="one")
    image = np.full((4, 6, 3), 100, np.uint8)
    truth = np.zeros((4, 6), np.uint8)
    truth[0] = 255
    prediction = truth.copy()
    prediction[:, 5] = 2
    picture = PanelImage("a/b", image, truth, prediction)
    logger.log_metrics({"train/loss": 1.5, "epoch": 0}, 7)
    logger.log_panel([picture], SPACE, 7)
    assert logger.panel_bytes(picture, SPACE) > 100
    with loggers.finishing(lambda: [logger]):
        pass
    read = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert read.Tags()["scalars"] == ["train/loss"]
    ((step, value),) = [(one.step, one.value) for one in read.Scalars("train/loss")]
    assert (step, value) == (7, 1.5)
    (one,) = read.Images("val/panel/a/b")
    assert (one.step, one.height, one.width) == (7, 4, 24)


def test_errors_in_a_row_of_pictures():
    image = np.full((1, 3, 3), 100, np.uint8)
    truth, prediction = np.array([[0, 1, 255]], np.uint8), np.array([[0, 2, 2]], np.uint8)
    row = loggers.panel_row(PanelImage("a", image, truth, prediction), SPACE)
    assert row.shape == (1, 12, 3) and np.array_equal(row[:, :3], image)
    assert row[0, 9:].tolist() == [[100] * 3, list(loggers.WRONG), list(loggers.IGNORED)]


def test_tensorboard(run, tmp_path):
    outcome = run("train", *TINY, "iters=1", "logger=tensorboard")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    read = EventAccumulator(str(folder / "tensorboard")).Reload()
    assert {"train/loss", "val/miou", "eval/none/miou"} <= set(read.Tags()["scalars"])
    assert len(read.Tags()["images"]) == 3


def test_tensorboard_is_an_extra(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr(loggers, "TensorBoardRunLogger", missing)
    with pytest.raises(ConfigError, match=r"needs TensorBoard: pip install 'gcseg\[tensorboard\]'"):
        loggers.tensorboard_logger(tmp_path, {})


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("logger.project=a/b", "logger.project=a/b: give at most 128 characters, and none of /"),
        (
            "logger.group=123",
            "logger.group=123: give a name, in quotes as \"logger.group='123'\", or null",
        ),
        ("logger.entity=[1]", "logger.entity=[1]: give a name"),
        (f"logger.tags=[{'x' * 65}]", "give words of at most 64 characters"),
        (
            "logger.panel=true",
            "logger.panel=true: set logger.panel.images, logger.panel.longest, logger.panel.",
        ),
        (
            "+logger.panel.sizes=1",
            "use one of logger.panel.images, logger.panel.longest, logger.panel.megabytes",
        ),
    ],
)
def test_what_wandb_would_not_take(train, no_account, setting, message):
    assert message in train("logger=wandb", setting).error


def test_no_such_mode(train, no_account):
    error = train("logger=wandb", WANDB_MODE="foo").error
    assert error.startswith("WANDB_MODE=foo: use one of online, offline")
