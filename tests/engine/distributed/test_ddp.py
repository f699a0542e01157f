"""Several processes: each image once, the same losses and weights as one process."""

import csv
import json
import os
from pathlib import Path

import pytest
import torch

from gcseg.system import launch as launch_of
from tests import running
from tests.processes import run_together, slurm_environment, together, torchrun_environment
from tests.running import TINY, only_run

STEADY = ("batch_size=6", "head.dropout=0", "auxiliary_head.dropout=0", "iters=4", "val_every=2")
"""A training whose steps divide over 1, 2 and 3 processes, and draw nothing by process."""


@pytest.fixture
def launch(data, tmp_path):
    """Run a command in several processes; what the first one printed."""

    def launch(processes, command, *overrides, **options):
        outcomes = run_together(
            processes,
            command,
            *overrides,
            f"devices={processes}",
            cwd=tmp_path,
            GCSEG_DATA=str(data),
            **options,
        )
        for outcome in outcomes:
            assert outcome.status == 0, outcome.err
        assert all(not outcome.out for outcome in outcomes[1:]), "one process prints"
        return outcomes[0]

    return launch


def curves(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def matrix(folder, name):
    """A confusion matrix and the names of its classes."""
    record = json.loads((folder / "results.json").read_text())["evaluations"][name]
    with (folder / record["confusion"]).open(newline="") as file:
        (_, *names), *rows = csv.reader(file)
    assert [row[0] for row in rows] == names
    return [[int(count) for count in row[1:]] for row in rows], names


def calibration(folder, name):
    return json.loads((folder / f"analysis/{name}.json").read_text())["calibration"]["ece"]


def state(folder, name="last"):
    return torch.load(folder / "checkpoints" / f"{name}.ckpt", weights_only=True)


def assert_same_training(ours, theirs):
    """Losses and weights are equal but for roundings."""
    for mine, other in zip(curves(ours), curves(theirs), strict=True):
        for column in ("train/loss", "train/loss_main", "train/loss_auxiliary"):
            if mine.get(column) or other.get(column):
                assert float(mine[column]) == pytest.approx(float(other[column]), rel=2e-5)
    mine, other = state(ours), state(theirs)
    assert list(mine) == list(other)
    assert list(mine["state_dict"]) == list(other["state_dict"])
    for key, value in mine["state_dict"].items():
        # Float32 carries 1e-7; batch norm and four steps of momentum make some dozens of that.
        torch.testing.assert_close(value, other["state_dict"][key], rtol=1e-4, atol=1e-5)


WEIGHTS = f"class_weights=[{','.join(str(1 + n % 4) for n in range(19))}]"


@pytest.mark.parametrize(
    ("processes", "overrides"),
    [
        pytest.param(2, (), marks=pytest.mark.slow),
        pytest.param(3, (), marks=pytest.mark.slow),
        pytest.param(3, (WEIGHTS,), marks=pytest.mark.slow),
        pytest.param(2, ("count_ignored=true",), marks=pytest.mark.slow),
        (2, ("batch_size=12", "accumulate=2", WEIGHTS, "auxiliary_weight=1.0")),
        pytest.param(3, ("batch_size=12", "accumulate=2"), marks=pytest.mark.slow),
    ],
)
def test_training_by_several_processes(train, launch, tmp_path, processes, overrides):
    overrides = (*STEADY, *overrides)
    assert train(*overrides, "run_root=one").status == 0
    launch(processes, "train", *TINY, *overrides, "run_root=several")
    one, several = (only_run(tmp_path / root) for root in ("one", "several"))
    assert several.name == one.name, "devices do not make another training"
    assert_same_training(several, one)


def killed(step, overrides, cwd, data):
    """One process of a training that is killed in a step."""
    with running.killed_in_step(step):
        running.run("train", *overrides, cwd=cwd, GCSEG_DATA=str(data))


@pytest.mark.slow
@pytest.mark.parametrize(
    "started",
    [(2, "ddp"), (2, "fsdp"), (3, "fsdp")],
)
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_interrupted_and_continued_by_others(train, launch, data, tmp_path, started, optimizer):
    """Under another strategy, by another number of processes, and by one alone."""
    overrides = (*STEADY, "+trainer.gradient_clip_val=0.5", f"optim={optimizer}", "tta=flip")
    overrides = (*overrides, "optim.lr=1e-5") if optimizer == "adamw" else overrides
    assert train(*overrides, "run_root=one").status == 0
    one = only_run(tmp_path / "one")
    processes, strategy = started
    first = (*TINY, *overrides, f"devices={processes}", f"strategy={strategy}")
    for number, (processes, strategy) in enumerate(((2, "fsdp"), (2, "ddp"), (1, "ddp"))):
        root = f"several{number}"
        together(started[0], killed, 3, (*first, f"run_root={root}"), tmp_path, data)
        several = only_run(tmp_path / root)
        assert state(several)["global_step"] == 2
        options = (f"strategy={strategy}", f"run_root={root}")
        launch(processes, "train", *TINY, *overrides, *options)
        assert_same_training(several, one)
        ours, theirs = (state(folder)["optimizer_states"][0] for folder in (several, one))
        assert ours["param_groups"] == theirs["param_groups"]
        for key, parameter in ours["state"].items():
            for name, value in parameter.items():
                torch.testing.assert_close(value, theirs["state"][key][name], rtol=1e-2, atol=1e-4)
        assert "flip" in json.loads((several / "results.json").read_text())["evaluations"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("ema.decay=0.9",), "ema.decay=0.9 with strategy=fsdp: use strategy=ddp, or leave "),
        (("compile=true",), "compile=true with strategy=fsdp: "),
        (("checkpoint_activations=true",), "checkpoint_activations=true with strategy=fsdp: "),
        (("precision=16-mixed",), "precision=16-mixed with strategy=fsdp: use bf16-mixed or 32"),
    ],
)
def test_what_can_not_be_divided(train, overrides, message):
    assert train("strategy=fsdp", *overrides).error.startswith(message)


def test_no_such_strategy(train):
    assert train("strategy=zero").error == "strategy=zero: use one of auto, ddp, fsdp"


@pytest.mark.parametrize(
    ("layout", "processes"),
    [
        ("voc", 3),
        pytest.param("voc", 2, marks=pytest.mark.slow),
        pytest.param("cityscapes", 2, marks=pytest.mark.slow),
        pytest.param("cityscapes", 3, marks=pytest.mark.slow),
    ],
)
def test_every_image_is_counted_once(run, train, launch, tmp_path, layout, processes):
    """In training's last scores and in an evaluation, in all modes, to the last pixel."""
    scenes = (*STEADY, f"dataset.reader.layout={layout}", "dataset.reader.val=7", "iters=2")
    assert train(*scenes, "tta=all").status == 0
    folder = only_run(tmp_path / "runs")
    alone = {name: matrix(folder, name) for name in ("none", "flip", "msflip")}
    assert len({json.dumps(counts) for counts, _ in alone.values()}) == 3
    explain = (f"checkpoint={folder}", "num_workers=0", "accelerator=cpu", "explain=true")
    assert run("eval", *explain).status == 0
    images = {name: (folder / f"analysis/{name}.csv").read_bytes() for name in alone}
    sure = {name: calibration(folder, name) for name in alone}
    for command in (("train", *TINY, *scenes, "tta=all"), ("eval", *explain)):
        for found in (*folder.glob("confusion/*"), *folder.glob("analysis/*")):
            found.unlink()
        launch(processes, *command)  # the first scores only
        assert {name: matrix(folder, name) for name in alone} == alone
    for name in alone:
        assert (folder / f"analysis/{name}.csv").read_bytes() == images[name]
        assert calibration(folder, name) == pytest.approx(sure[name], rel=1e-9)


@pytest.mark.slow
def test_uneven_shares_of_a_validation_in_training(train, launch, tmp_path):
    overrides = (*STEADY, "dataset.reader.val=4", "iters=2", "val_every=1")
    assert train(*overrides, "run_root=one").status == 0
    launch(3, "train", *TINY, *overrides, "run_root=several")
    one, several = (curves(only_run(tmp_path / root)) for root in ("one", "several"))
    for mine, other in zip(several, one, strict=True):
        assert mine["step"] == other["step"]
        if other["val/pixel_accuracy"]:
            assert float(mine["val/pixel_accuracy"]) == pytest.approx(
                float(other["val/pixel_accuracy"]), abs=0.01
            )


@pytest.mark.slow
def test_fewer_images_than_processes(data, tmp_path):
    overrides = (*TINY, *STEADY, "dataset.reader.val=2", "devices=3")
    outcomes = run_together(3, "train", *overrides, cwd=tmp_path, GCSEG_DATA=str(data))
    for outcome in outcomes:
        assert "(val) has 2 images for 3 processes: use fewer devices" in outcome.error


@pytest.mark.slow
@pytest.mark.parametrize("environment", [torchrun_environment, slurm_environment])
def test_started_by_a_launcher(launch, tmp_path, environment):
    outcome = launch(2, "train", *TINY, "iters=1", environment=environment)
    folder = only_run(tmp_path / "runs")
    assert state(folder)["global_step"] == 1
    assert outcome.out.count("best checkpoint on val") == 1


@pytest.mark.parametrize(
    ("environment", "settings", "message"),
    [
        (
            torchrun_environment(0, 2, 1),
            ("devices=3",),
            "devices=3 num_nodes=1, but torchrun started 2 processes, 2 on each machine: give "
            "devices=2 num_nodes=1, or start them with --nnodes=1 --nproc_per_node=3",
        ),
        (
            torchrun_environment(0, 2, 1),
            (),
            "devices=1 num_nodes=1, but torchrun started 2 processes, 2 on each machine: give "
            "devices=2 num_nodes=1, or start them with --nnodes=1 --nproc_per_node=1",
        ),
        (
            {**torchrun_environment(1, 4, 1), "LOCAL_WORLD_SIZE": "2"},
            ("devices=4",),
            "devices=4 num_nodes=1, but torchrun started 4 processes, 2 on each machine: give "
            "devices=2 num_nodes=2, or start them with --nnodes=1 --nproc_per_node=4",
        ),
        (
            slurm_environment(1, 2, 1),
            ("devices=3",),
            "devices=3 num_nodes=1, but SLURM started 2 processes, 2 on each machine: give "
            "devices=2 num_nodes=1, or start them with --nodes=1 --ntasks-per-node=3",
        ),
        (
            {"SLURM_NTASKS": "2", "SLURM_PROCID": "0"},
            ("devices=2",),
            "SLURM does not say how many of its 2 processes are on each machine: start them with "
            "--nodes=1 --ntasks-per-node=2",
        ),
    ],
)
@pytest.mark.parametrize("command", ["train", "eval"])
def test_another_number_of_processes(run, training, environment, settings, message, command):
    overrides = {"train": (*TINY, "batch_size=12"), "eval": (f"checkpoint={training.folder}",)}
    outcome = run(command, *overrides[command], "accelerator=cpu", *settings, **environment)
    assert outcome.error == message


def test_slurm_does_not_count_in_an_interactive_job(train):
    environment = {"SLURM_NTASKS": "2", "SLURM_JOB_NAME": "interactive"}
    assert train("iters=1", **environment).status == 0


@pytest.mark.camvid
@pytest.mark.slow
def test_camvid_is_counted_the_same_by_1_2_and_3_processes(tmp_path):
    """101 pictures, under whole-image, flipped and multi-scale evaluation."""
    root = Path(os.environ.get("GCSEG_DATA", "data"))
    if not (root / "camvid").is_dir():
        pytest.skip(f"CamVid is not in {root}; set GCSEG_DATA to the folder that holds camvid/")
    small = (
        *("dataset=camvid", "backbone._target_=tests.tiny.backbone", "head.channels=16"),
        *("dataset.crop.height=128", "dataset.crop.width=128", "batch_size=6", "accelerator=cpu"),
        *("num_workers=0", "iters=20", "val_every=20"),
    )
    outcome = running.run("train", *small, cwd=tmp_path, GCSEG_DATA=str(root))
    assert outcome.status == 0, outcome.err
    folder = only_run(tmp_path / "runs")
    found = []
    for processes in (1, 2, 3):
        outcomes = run_together(
            processes,
            "eval",
            *(f"checkpoint={folder}", "num_workers=0", "accelerator=cpu", f"devices={processes}"),
            cwd=tmp_path,
            GCSEG_DATA=str(root),
            seconds=600,
        )
        assert all(outcome.status == 0 for outcome in outcomes), outcomes
        found.append({name: matrix(folder, name) for name in ("none", "flip", "msflip")})
        (folder / "results.json").unlink()
    assert found[0] == found[1] == found[2]
    # Every labelled pixel of the 101 pictures of 480 x 360, and nothing twice.
    for counts, _ in found[0].values():
        assert 0.9 * 101 * 480 * 360 < sum(map(sum, counts)) < 101 * 480 * 360


@pytest.mark.parametrize(
    ("devices", "nodes", "gpus", "level"),
    [(3, 1, (), "ERROR"), (2, 2, (), "ERROR"), (2, 1, (), None), ("auto", 1, (), None),
     (3, 1, (os.devnull,), None)],
)  # fmt: skip
def test_warnings_that_are_hidden(devices, nodes, gpus, level, monkeypatch):
    monkeypatch.setattr(launch_of, "_GPUS", gpus)
    monkeypatch.setenv("TORCH_CPP_LOG_LEVEL", "")
    monkeypatch.delenv("TORCH_CPP_LOG_LEVEL")
    launch_of.hide_ddp_warnings(devices, nodes)
    assert os.environ.get("TORCH_CPP_LOG_LEVEL") == level


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_three_processes_warn_of_nothing(data, tmp_path):
    done = running.start(
        "train", *TINY, "batch_size=3", "devices=3", cwd=tmp_path, GCSEG_DATA=str(data)
    )
    assert (done.returncode, done.stderr) == (0, "")
