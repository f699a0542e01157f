"""Jobs under launchers that are not ours, here Hydra's own; they are stubs, see stub.py."""

import json
import multiprocessing
import os
import signal
import threading
import time

import cloudpickle
import pytest

from gcseg.config import command as config
from gcseg.errors import LEFT_EARLY
from gcseg.sweeps import job as job_module
from gcseg.sweeps.job import forwarding
from gcseg.sweeps.ledger import Ledger
from tests.sweeps.commands import (
    begin,
    jobs,
    notes,
    states,
    stubs_path,
    sweep_folder,
    use_stubs,
    wait_until,
)

BASIC = "hydra/launcher=basic"
HOOKS = config.Multirun(max, min, print)


@pytest.fixture
def sweep(run, monkeypatch):
    use_stubs(monkeypatch)
    monkeypatch.setattr(job_module, "SECONDS_BETWEEN_POLLS", 0.02)

    def sweep(*overrides: str, stub: dict | None = None, **options):
        options = {"PYTHONPATH": stubs_path(), "STUB": json.dumps(stub or {}), **options}
        return run("train", "-m", BASIC, "accelerator=cpu", *overrides, **options)

    return sweep


def test_any_launcher_records_its_jobs(sweep, tmp_path):
    outcome = sweep("seed=0,1,2", "tta=none,flip", stub={"1": "crash"})
    assert outcome.status == 1
    assert states(tmp_path) == ["done"] * 2 + ["failed"] * 2 + ["done"] * 2
    assert [note["modes"] for note in notes(tmp_path)] == [["none"], ["flip"]] * 3
    assert jobs(tmp_path)[2].error == "ValueError: the weather is bad"
    assert outcome.err.splitlines()[-1] == "error: 2 of 6 jobs failed, see above"
    assert (sweep_folder(tmp_path) / "sweep.csv").is_file()


@pytest.mark.slow
def test_another_launcher_goes_on_with_the_same_sweep(sweep, run, tmp_path):
    assert sweep("seed=0,1", stub={"0": "error"}).status == 1
    again = run("train", "-m", "seed=0,1", "accelerator=cpu", PYTHONPATH=stubs_path())
    assert again.status == 0, again.err
    assert [note["seed"] for note in notes(tmp_path)] == [0, 1, 0]


def test_settings_that_cant_be_run(sweep, tmp_path):
    assert sweep("dataset.crop.height=5000,64").status == 1
    assert states(tmp_path) == ["failed", "done"]


def _hold(path, key, claimed, leave):
    claimed.put(Ledger(path).claim(key))
    leave.wait(60)


@pytest.mark.slow
def test_a_training_in_other_hands_is_left_to_them(sweep, tmp_path):
    assert sweep("seed=0", "tta=none,flip", stub={"0": "crash"}).status == 1
    path = sweep_folder(tmp_path) / "ledger.sqlite"
    context = multiprocessing.get_context("fork")
    claimed, leave = context.Queue(), context.Event()
    other = context.Process(target=_hold, args=(path, jobs(tmp_path)[0].key, claimed, leave))
    other.start()
    try:
        assert claimed.get(timeout=30)
        outcome = sweep("seed=0", "tta=none,flip")
        assert states(tmp_path) == ["running", "failed"] and len(notes(tmp_path)) == 2
        assert "job 1 is left to the job that runs its training" in outcome.err
    finally:
        leave.set()
        other.join()
    assert sweep("seed=0", "tta=none,flip").status == 0
    assert states(tmp_path) == ["done", "done"]


def _claim(ledger, key, told):
    told.put(ledger.claim(key))


def test_who_trains_takes_up_what_was_left_to_it(sweep, tmp_path):
    place = "hydra.sweep.dir=runs/sweeps/x"
    assert sweep("seed=0", "tta=flip", place, stub={"0": "crash"}).status == 1
    (flip,) = jobs(tmp_path)
    ledger = Ledger(sweep_folder(tmp_path) / "ledger.sqlite")
    answers = []

    def ask():
        wait_until(lambda: len(notes(tmp_path)) == 2)
        context = multiprocessing.get_context("fork")
        told = context.SimpleQueue()
        other = context.Process(target=_claim, args=(ledger, flip.key, told))
        other.start()
        answers.append(told.get())
        other.join()

    asking = threading.Thread(target=ask)
    asking.start()
    outcome = sweep("seed=0", "tta=none", place, stub={"0": "slow"})
    asking.join()
    assert outcome.status == 0, outcome.err
    assert answers == [False]
    assert [note["modes"] for note in notes(tmp_path)] == [["flip"], ["none"], ["flip"]]
    assert states(tmp_path) == ["done", "done"]


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGHUP, 75)])
def test_stopped(number, status, tmp_path):
    sweep = begin(BASIC, "seed=0,1", cwd=tmp_path, STUB='{"0": "wait"}')
    wait_until(lambda: notes(tmp_path))
    sweep.send_signal(number)
    _, error = sweep.communicate(timeout=300)
    assert sweep.returncode == status, error
    assert states(tmp_path) == ["interrupted"]
    assert [note["seed"] for note in notes(tmp_path, "left")] == [0]


@pytest.fixture
def handlers():
    before = {number: signal.getsignal(number) for number in job_module.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_launchers_own_handler_comes_after_the_job(handlers):
    order = []
    signal.signal(signal.SIGUSR2, lambda number, _: order.append(("before", number)))
    with forwarding(lambda number: order.append(("stop", number)), lambda: order.append("kill")):
        os.kill(os.getpid(), signal.SIGUSR2)
        order.append("the job leaves")
    assert order == [("stop", signal.SIGUSR2), "the job leaves", ("before", signal.SIGUSR2)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_that_nobody_else_wanted(number, handlers):
    signal.signal(number, signal.SIG_DFL)
    with pytest.raises(SystemExit) as left, forwarding(lambda _: None, lambda: None):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
    assert left.value.code == LEFT_EARLY
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_second_ctrl_c_kills(handlers):
    signal.signal(signal.SIGINT, signal.default_int_handler)
    seen = []
    with (
        pytest.raises(KeyboardInterrupt),
        forwarding(lambda number: seen.append("stop"), lambda: seen.append("kill")),
    ):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
    assert seen == ["stop", "kill"]


def test_ignored_signals_stay_ignored(handlers):
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    with forwarding(lambda number: pytest.fail("not wanted"), lambda: None):
        os.kill(os.getpid(), signal.SIGUSR1)
        time.sleep(0.01)


def test_threads_leave_signals_alone(handlers):
    handler = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with forwarding(lambda _: None, lambda: None):
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [handler]


def test_the_task_can_be_sent_to_other_machines():
    task = config.CheckedTask("train", print, multirun=HOOKS, full=False)
    again = cloudpickle.loads(cloudpickle.dumps(task))
    assert (again.config_name, again.multirun) == ("train", HOOKS)
