"""gcseg from Python does what the commands do."""

import importlib
import os
import signal
import subprocess
import sys
import threading

import hydra
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

import gcseg
from gcseg.commands import train as train_command
from gcseg.config.compose import source_folder
from gcseg.errors import ConfigError, StoppedBySignal, TrainingError, WeightsError
from gcseg.python.settings import checked
from gcseg.sweeps.outcome import JOB, VARIABLE, sweep_of_job
from tests.running import REPOSITORY, TINY, child_environment, killed_in_step, only_run


def test_patterns_need_no_quotes():
    cfg = gcseg.compose("train", ["dataset=folder", "dataset.root=a", "dataset.group={group}_*",
                                  "dataset.reader.images={split}/*.jpg"])  # fmt: skip
    assert (cfg.dataset.group, cfg.dataset.reader.images) == ("{group}_*", "{split}/*.jpg")


@pytest.fixture
def here(tmp_path, data, monkeypatch):
    """An empty working folder, in a program whose arguments are not gcseg's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GCSEG_DATA", str(data))
    monkeypatch.setattr(sys, "argv", ["ipykernel_launcher", "-f", "kernel.json"])
    return tmp_path


def weights(folder, name="last"):
    return torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)["state_dict"]


def same(ours, theirs):
    return all(torch.equal(value, theirs[key]) for key, value in ours.items())


def test_the_package_is_light():
    code = (
        "import gcseg, sys; gcseg.errors; gcseg.__version__; "
        "print(sorted({'torch', 'hydra', 'yaml', 'numpy', 'gcseg.python'} & {*sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True,
                         env=child_environment(), cwd=REPOSITORY).stdout  # fmt: skip
    assert out.strip() == "[]"
    assert {*gcseg.__all__} == {"Predictor", "compose", "errors", "evaluate", "sweep", "train"}
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        _ = gcseg.trian


def test_importing_the_commands_module_keeps_the_function():
    module = importlib.import_module("gcseg.train")
    with pytest.raises(ConfigError, match="iters=0"):
        module(["iters=0"])


@pytest.mark.parametrize(
    "wrong",
    [
        ["iters=-1"],
        ["datset=camvid"],
        ["dataset=camvidd"],
        ["optim.lrr=3"],
        ["backbone=null"],
        ["tta=flip", "+tta=none"],
        ["iters='"],
        ["dataset=folder"],
        ["epochs=2", "iters=3"],
    ],
)
def test_mistakes_are_the_commands(here, run, wrong):
    with pytest.raises(ConfigError) as error:
        gcseg.compose("train", wrong)
    assert str(error.value) == run("train", *wrong).error


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ("iters=3", r'the overrides are one text, iters=3: give a list, as \["iters=9"\]'),
        (["iters"], 'iters is no setting: give "key=value"'),
        ([3], 'give "key=value"'),
        (["-m"], r"-m means several trainings: use gcseg\.sweep"),
        (["seeds=3"], r"seeds=3 means several trainings: use gcseg\.sweep"),
    ],
)
def test_what_is_no_setting_of_one_training(overrides, message):
    with pytest.raises(ConfigError, match=message):
        gcseg.compose("train", overrides)


def test_commands_and_checkpoints_are_named(here):
    with pytest.raises(ConfigError, match="no command 'test': use one of train, eval"):
        gcseg.compose("test")
    with pytest.raises(ConfigError, match="checkpoint is not set: give checkpoint="):
        gcseg.compose("eval", ["tta=flip"])
    with pytest.raises(WeightsError, match="there is no checkpoint nowhere"):
        gcseg.evaluate("nowhere")
    with pytest.raises(ConfigError, match=r"the settings are int: give gcseg\.compose"):
        checked(3, "train")


def test_what_the_caller_has_composed_with_hydra_stays(here):
    with hydra.initialize_config_dir(str(source_folder("conf")), version_base="1.3"):
        initialized = GlobalHydra.instance().hydra
        gcseg.compose("train", ["iters=5"])
        assert GlobalHydra.instance().hydra is initialized
        assert hydra.compose("train", ["iters=7"]).iters == 7


def test_hydra_alone_composes_in_a_new_process():
    code = (
        "import hydra\n"
        f"with hydra.initialize_config_dir({str(source_folder('conf'))!r}, version_base='1.3'):\n"
        "    cfg = hydra.compose('train', ['small=demo', 'iters=70'])\n"
        "import gcseg.python.settings\n"
        "print(cfg.iters, gcseg.python.settings.checked(cfg, 'train').dataset.name)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True,
                          env=child_environment(), cwd=REPOSITORY)  # fmt: skip
    assert done.stdout.split() == ["70", "scenes"], done.stderr


def test_a_training_is_the_commands_twice_in_a_process_and_in_a_thread(here, training):
    cfg = gcseg.compose("train", [*TINY, "tta=all"])
    found = []
    thread = threading.Thread(target=lambda: found.append(gcseg.train(cfg)))
    thread.start()
    thread.join()
    (result,) = found
    assert result.folder.name == training.folder.name
    assert same(weights(result.folder), weights(training.folder))
    assert set(result.evaluations) == {"none", "flip", "msflip"}
    assert result.checkpoint.is_file() and result.results.is_file()
    again = gcseg.train([*TINY, "tta=all", "run_root=other"])
    assert again.miou == result.miou
    assert same(weights(again.folder), weights(result.folder))


def test_either_goes_on_with_what_the_other_has_begun(here, run, training):
    cfg = gcseg.compose("train", TINY)
    with killed_in_step(2):
        gcseg.train(cfg)
    assert run("train", *TINY).status == 0
    assert same(weights(only_run(here / "runs")), weights(training.folder))
    with killed_in_step(2):
        run("train", *TINY, "run_root=other")
    result = gcseg.train([*TINY, "run_root=other"])
    assert same(weights(result.folder), weights(training.folder))


def test_settings_are_checked_again(here):
    cfg = gcseg.compose("train", TINY)
    cfg.iters = 0
    with pytest.raises(ConfigError, match="iters=0: give a whole number"):
        gcseg.train(cfg)
    with pytest.raises(ConfigError, match="num_nodes=2 from Python: give the command on each"):
        gcseg.train([*TINY, "num_nodes=2"])


def test_evaluations(here, training):
    expected = gcseg.train([*TINY, "tta=all"]).evaluations["flip"]["miou"]
    folder = only_run(here / "runs")
    given = ["accelerator=cpu", "num_workers=0", "trust=true"]
    result = gcseg.evaluate(folder, ["tta=flip", *given])
    assert result.miou == expected == result.evaluations["flip"]["miou"]
    assert result.results == folder / "results.json"
    cfg = gcseg.compose("eval", [f"checkpoint={folder}", "tta=flip", *given])
    assert gcseg.evaluate(cfg).miou == expected
    with pytest.raises(ConfigError, match="together with composed settings"):
        gcseg.evaluate(cfg, ["tta=none"])
    with pytest.raises(ConfigError, match=r"devices=2 num_nodes=1 from Python: run python -m gcs"):
        gcseg.evaluate(folder, [*given, "devices=2"])


@pytest.mark.parametrize(
    ("number", "expected"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, StoppedBySignal)],
)
def test_a_stop_is_no_exit(here, monkeypatch, number, expected):
    def stopped(cfg):
        raise StoppedBySignal(number, 2)

    monkeypatch.setattr(train_command, "train", stopped)
    with pytest.raises(expected, match="after step 2: the same command resumes from there"):
        gcseg.train(TINY)


def test_an_exit_of_a_library_is_an_error(here, monkeypatch):
    monkeypatch.setattr(train_command, "train", lambda cfg: sys.exit(3))
    with pytest.raises(TrainingError, match="ended with status 3"):
        gcseg.train(TINY)


def test_a_sweeps_mistakes_start_no_process(here):
    for wrong, message in (
        (["iters=-1", "seed=0,1"], "iters=-1: give a whole number"),
        (["seeds=0"], "seeds=0"),
        (["datset=camvid,voc"], "there is no setting 'datset'"),
    ):
        with pytest.raises(ConfigError, match=message):
            gcseg.sweep(wrong)
    assert not list(here.iterdir())


def test_a_job_without_a_sweep_names_none(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "jobs/0/outcome.json"))
    monkeypatch.setenv(JOB, str(os.getpid()))
    assert sweep_of_job() is None
    (tmp_path / "ledger.sqlite").touch()
    assert sweep_of_job() == tmp_path.name


@pytest.mark.slow
def test_several_devices_train_in_processes(here, capsys):
    result = gcseg.train([*TINY, "devices=2"])
    assert result.folder == only_run(here / "runs") and result.miou is not None
    assert "2 devices" in capsys.readouterr().out
    with pytest.raises(TrainingError, match="does not divide over 3 devices"):
        gcseg.train([*TINY, "devices=3"])


@pytest.mark.slow
def test_a_sweep(here):
    result = gcseg.sweep([*TINY, "seeds=2", "timing=none"])
    assert len(result.jobs) == 2 and not result.failed
    assert all(job.state == "done" and job.folder.is_dir() for job in result.jobs)
    assert (result.folder / "report.html").is_file()
    wrong = [*TINY, "timing=none", "dataset.root=/nowhere", "dataset.reader.draw=false", "seed=0,1"]
    with pytest.raises(TrainingError, match=r"2 of 2 jobs of .* failed, such as .*seed=0"):
        gcseg.sweep(wrong)
    wrong.append("retry_failed=false")  # the same sweep, of which nothing is left to run
    assert len(gcseg.sweep(wrong, check=False).failed) == 2
