"""One training at a time in a run folder."""

import os
import re
import socket
import subprocess
import sys

import pytest

from gcseg.errors import ConfigError, OutputError
from gcseg.runs.folder import RunFolder, choose_folder
from gcseg.runs.lock import hold, remove_leftovers
from gcseg.system.launch import is_first_process
from tests.running import TINY, child_environment, only_run

HOLDER = """
import os, sys, time
from pathlib import Path
from gcseg.runs.lock import hold
with hold(Path(sys.argv[1])):
    child = os.fork() if sys.argv[2] == "fork" else None
    if not child:  # which has left the lock to its parent by now
        print(1 if child is None else os.getpid(), flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds a folder, perhaps with a child as loaders have them."""
    started = []

    def holder(folder, how="alone"):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(folder), how],
            env=child_environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.child = int(process.stdout.readline())
        return process

    yield holder
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
        if process.child > 1:
            os.kill(process.child, 9)


def test_the_folder_is_made_and_no_lock_stays(tmp_path):
    with hold(tmp_path / "runs" / "a"):
        text = (tmp_path / "runs" / "a" / ".lock").read_text()
        assert text == f"process {os.getpid()} on {socket.gethostname()}"
        (tmp_path / "runs" / "a" / "config.yaml").touch()
    assert [path.name for path in (tmp_path / "runs" / "a").iterdir()] == ["config.yaml"]


def test_an_empty_folder_is_removed(tmp_path):
    with pytest.raises(KeyError), hold(tmp_path / "runs" / "a"):
        raise KeyError
    assert not list(tmp_path.iterdir())


def test_another_process_is_named(tmp_path, holder):
    process = holder(tmp_path / "a")
    expected = f"a is in use by process {process.pid} on {socket.gethostname()}: wait until it ends"
    with pytest.raises(OutputError, match=re.escape(expected)), hold(tmp_path / "a"):
        pass
    assert (tmp_path / "a" / ".lock").exists()


@pytest.mark.parametrize("how", ["alone", "fork"])
def test_the_lock_ends_with_its_process(tmp_path, holder, how):
    process = holder(tmp_path / "a", how)
    process.kill()
    process.wait()
    with hold(tmp_path / "a"):
        assert str(os.getpid()) in (tmp_path / "a" / ".lock").read_text()


@pytest.mark.parametrize("name", ["LOCAL_RANK", "RANK", "NODE_RANK", "SLURM_PROCID"])
def test_other_ranks_share_it(tmp_path, holder, monkeypatch, name):
    holder(tmp_path / "a")
    monkeypatch.setenv(name, "0")
    assert is_first_process()
    monkeypatch.setenv(name, "1")
    assert not is_first_process()
    with hold(tmp_path / "a"):
        pass
    assert (tmp_path / "a" / ".lock").exists(), "it is the first one's"


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "a").touch()
    message = r"can't be written \(.+\): free space"
    with pytest.raises(OutputError, match=message), hold(tmp_path / "a"):
        pass


def test_fresh_needs_one_process_to_choose(tmp_path, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("GCSEG_RUN_FOLDER", "")
    assert choose_folder(tmp_path, "a", fresh=False).path == tmp_path / "a"
    with pytest.raises(ConfigError, match="fresh=true in processes that another program"):
        choose_folder(tmp_path, "a", fresh=True)


LEFTOVERS = ("checkpoints/.last.ckpt.12.34.partial", ".metrics.csv.12.34.partial")
KEPT = (
    *("checkpoints/last.ckpt", "checkpoints/my.partial", "predictions/.a.png.12.34.partial"),
    *("results.json", ".lock"),
)


def test_leftovers_of_killed_processes_are_removed(tmp_path, monkeypatch):
    for name in (*LEFTOVERS, *KEPT):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("half")
    monkeypatch.setenv("LOCAL_RANK", "1")
    remove_leftovers(RunFolder(tmp_path))
    assert all((tmp_path / name).exists() for name in LEFTOVERS), "the first one's to remove"
    monkeypatch.delenv("LOCAL_RANK")
    remove_leftovers(RunFolder(tmp_path))
    left = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*") if p.is_file()}
    assert left == set(KEPT)


KILLED = """
import os, runpy
from gcseg.engine import checkpoints

def save(content, file):
    file.write(b"half of a checkpoint")
    file.flush()
    os.kill(os.getpid(), 9)

checkpoints.torch.save = save
runpy.run_module("gcseg.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_killed_while_it_saves(run, data, tmp_path):
    """The lock and the half of a checkpoint stay; the same command goes on all the same."""
    (tmp_path / "killed.py").write_text(KILLED)
    done = subprocess.run(
        [sys.executable, "killed.py", *TINY],
        cwd=tmp_path,
        env=child_environment(GCSEG_DATA=str(data)),
        capture_output=True,
        timeout=300,
    )
    assert done.returncode == -9, done.stderr
    folder = only_run(tmp_path / "runs")
    assert list(folder.rglob(".*.partial")) and (folder / ".lock").exists()
    outcome = run("train", *TINY)
    assert outcome.status == 0, outcome.err
    assert only_run(tmp_path / "runs") == folder
    assert not [path for path in folder.rglob(".*") if path.is_file()]


def test_a_second_training_is_refused(run, training, holder, tmp_path):
    """The finished one's folder in another root, which another process is busy in."""
    folder = tmp_path / "runs" / training.folder.name
    process = holder(folder)
    error = run("train", *TINY).error
    assert error.startswith(f"runs/{folder.name} is in use by process {process.pid} on ")
    assert [path.name for path in folder.iterdir()] == [".lock"]
    outcome = run("train", *TINY, "fresh=true", "iters=3")
    assert outcome.status == 0, outcome.err
    assert sorted(path.name for path in folder.parent.iterdir()) == [
        folder.name,
        f"{folder.name}-2",
    ]
    process.kill()
    process.wait()
    outcome = run("train", *TINY)
    assert outcome.status == 0, outcome.err
    assert not (folder / ".lock").exists()
