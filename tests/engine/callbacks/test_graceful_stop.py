"""A signal makes a training save and leave; it ends as if there had been none."""

import csv
import os
import pty
import re
import signal
import sys
import time

import pytest
import torch
from torch.utils.data import DataLoader

from gcseg.commands import selftest
from gcseg.engine import evaluate
from gcseg.engine.checkpoints import AtomicCheckpointIO
from gcseg.engine.data import SegmentationData, begin_loading
from gcseg.engine.module import SegmentationModule
from gcseg.errors import StoppedBySignal
from gcseg.system import signals
from tests.running import TINY, become, only_run

LONG = ("iters=7", "val_every=3", "head.dropout=0.5", "auxiliary_head.dropout=0.1")
"""Seven steps, validated after the third, the sixth and the last."""


@pytest.fixture(autouse=True)
def same_handlers():
    """What is registered before a test is so after it."""
    before = [signal.getsignal(number) for number in signals.SIGNALS]
    yield
    assert [signal.getsignal(number) for number in signals.SIGNALS] == before


def send(*numbers):
    for number in numbers:
        os.kill(os.getpid(), number)


def before(patch, owner, name, action):
    """Call `action(self, *arguments)` before a method."""
    method = getattr(owner, name)

    def both(self, *arguments, **options):
        action(self, *arguments)
        return method(self, *arguments, **options)

    patch.setattr(owner, name, both)


@pytest.fixture
def leave(train, monkeypatch):
    """Train with a signal in a step or in an image of the validation after one."""

    def leave(*overrides, step, image=None, number=signal.SIGTERM):
        def in_step(module, batch, index):
            if image is None and module.trainer.global_step == step - 1:
                send(number)

        def in_validation(module, batch, index):
            if (module.trainer.global_step, index) == (step, image):
                send(number)

        with monkeypatch.context() as patch:
            before(patch, SegmentationModule, "training_step", in_step)
            before(patch, SegmentationModule, "validation_step", in_validation)
            return train(*overrides)

    return leave


@pytest.fixture
def undisturbed(train, tmp_path):
    """Make a finished training whose run folder had the path that the next one will have."""

    def undisturbed(*overrides):
        outcome = train(*overrides)
        assert outcome.status == 0, outcome.err
        return (tmp_path / "runs").rename(tmp_path / "undisturbed")

    return undisturbed


def assert_equal_end(first, second):
    found = selftest.compare(only_run(first), only_run(second))
    assert len(found) == 12
    assert not [difference for difference in found.values() if difference]


def steps_saved(root, name="last"):
    path = only_run(root) / "checkpoints" / f"{name}.ckpt"
    return torch.load(path, weights_only=True)["global_step"]


@pytest.mark.parametrize(
    ("every", "overrides"),
    [
        (2, ()),
        pytest.param(1, (), marks=pytest.mark.slow),
        pytest.param(1, ("num_workers=2",), marks=pytest.mark.slow),
        pytest.param(1, ("accumulate=2", "batch_size=4", "ema.decay=0.9"), marks=pytest.mark.slow),
    ],
    ids=["quick", "plain", "workers", "accumulation and average"],
)
def test_again_and_again(train, leave, undisturbed, tmp_path, every, overrides):
    """In steps and validations, the last ones too, and in a validation that was left before."""
    overrides = (*LONG, *overrides)
    whole = undisturbed(*overrides)
    moments = (
        (1, None, signal.SIGTERM, 75),
        (3, None, signal.SIGUSR1, 75),
        (3, 1, signal.SIGUSR2, 75),
        (3, 2, signal.SIGINT, 130),
        (5, None, signal.SIGTERM, 75),
        (6, 0, signal.SIGTERM, 75),
        (7, None, signal.SIGTERM, 75),
        (7, 1, signal.SIGTERM, 75),
    )
    outcomes = []
    for step, image, number, status in moments[every - 1 :: every]:
        outcome = leave(*overrides, step=step, image=image, number=number)
        assert outcome.status == status, outcome.err
        line = f"stopped by {number.name} after step {step}: the same command resumes from there"
        assert outcome.err.splitlines() == [line]
        assert steps_saved(tmp_path / "runs") == step
        assert not [*tmp_path.rglob("*.partial"), *tmp_path.rglob(".lock")]
        outcomes.append(outcome)
    outcome = train(*overrides)
    assert outcome.status == 0, outcome.err
    assert outcome.err == ""
    assert "resumes from step 7/7\n" in outcome.out, "out of the last validation"
    for outcome in outcomes:
        assert set(re.findall(r"step \d+/(\d+)", outcome.out)) <= {"7"}
    assert_equal_end(tmp_path / "runs", whole)


def test_before_the_first_step_there_is_nothing_to_save(train, monkeypatch, tmp_path):
    begun = []
    with monkeypatch.context() as patch:
        before(patch, SegmentationData, "val_dataloader", lambda self: send(signal.SIGTERM))
        before(patch, SegmentationModule, "training_step", lambda *_: begun.append(1))
        outcome = train()
    assert (outcome.status, begun) == (75, [])
    assert outcome.err == "stopped by SIGTERM: the same command resumes from there\n"
    assert not (only_run(tmp_path / "runs") / "checkpoints").exists()


def test_while_it_scores_at_the_end(train, monkeypatch, tmp_path):
    with monkeypatch.context() as patch:
        function = evaluate.evaluate
        patch.setattr(
            evaluate, "evaluate", lambda *a, **o: (send(signal.SIGUSR1), function(*a, **o))
        )
        outcome = train()
    assert outcome.status == 75
    assert outcome.err == "stopped by SIGUSR1: the same command resumes from there\n"
    with monkeypatch.context() as patch:
        before(patch, SegmentationModule, "training_step", lambda *_: pytest.fail("it is trained"))
        assert train().status == 0


def test_more_signals_while_it_saves(train, leave, monkeypatch, tmp_path):
    """They neither break the file nor the status."""
    clock = iter(range(0, 1000, 10))  # more than a moment apart
    monkeypatch.setattr(signals.time, "monotonic", lambda: float(next(clock)))
    with monkeypatch.context() as patch:
        save = torch.save

        def slow(content, file):
            send(signal.SIGTERM, signal.SIGINT, signal.SIGINT)
            save(content, file)
            send(signal.SIGINT)

        patch.setattr("gcseg.engine.checkpoints.torch.save", slow)
        outcome = leave(step=1)
    assert outcome.status == 75, outcome.err
    assert len(outcome.err.splitlines()) == 1
    assert steps_saved(tmp_path / "runs") == 1
    assert train().status == 0


def test_a_checkpoint_that_cant_be_written(leave, train, monkeypatch):
    with monkeypatch.context() as patch:

        def full(*_):
            raise OSError(28, "No space left on device")

        patch.setattr("gcseg.engine.checkpoints.torch.save", full)
        error = leave(step=1).error
    assert "last.ckpt can't be written (No space left on device): free space there" in error
    assert train().status == 0


def test_after_a_checkpoint_nothing_is_written_again(leave, tmp_path, monkeypatch):
    written = []
    before(monkeypatch, AtomicCheckpointIO, "save_checkpoint", lambda *_: written.append(1))
    assert leave(step=2, image=0).status == 75
    assert len(written) == 1
    assert leave(step=2, image=0).status == 75
    assert len(written) == 1, "it is there already"


def test_ctrl_c_a_second_time_leaves_at_once(monkeypatch):
    now = 0.0
    monkeypatch.setattr(signals.time, "monotonic", lambda: now)
    with signals.leaving_on_signals() as taken:
        taken.noting = True
        send(signal.SIGINT, signal.SIGINT)  # as to a group of processes, and forwarded
        now = 2.0
        send(signal.SIGTERM)
        with pytest.raises(StoppedBySignal) as left:
            send(signal.SIGINT)
    assert (taken.received, left.value.status) == (signal.SIGINT, 130)


def test_other_processes_are_told_once_or_ended():
    told, ended = [], []
    with signals.leaving_on_signals() as taken:
        taken.tell_others, taken.kill_others = told.append, lambda: ended.append(1)
        taken.noting = True
        send(signal.SIGUSR1, signal.SIGTERM)
        assert (told, ended) == ([signal.SIGUSR1], [])
    with signals.leaving_on_signals() as taken:
        taken.tell_others, taken.kill_others = told.append, lambda: ended.append(1)
        with pytest.raises(StoppedBySignal):
            send(signal.SIGTERM)
        assert (told, ended) == ([signal.SIGUSR1], [1])


def test_a_forked_process_raises_nothing():
    with signals.leaving_on_signals():
        child = os.fork()
        if not child:
            os.kill(os.getpid(), signal.SIGUSR1)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_a_terminal_that_closes(data, tmp_path):
    """The kernel sends SIGHUP, and whatever is printed afterwards fails."""
    overrides = (*TINY, "val_every=2", "iters=100000")
    child, terminal = pty.fork()
    if not child:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored if the tests run under nohup
        become("train", *overrides, cwd=tmp_path, GCSEG_DATA=str(data))
    try:
        shown = b""
        while b"/100000" not in shown or not list(tmp_path.glob("runs/*/checkpoints/last.ckpt")):
            shown += os.read(terminal, 1 << 16)
        os.close(terminal)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    except BaseException:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise
    assert status == 75
    with (only_run(tmp_path / "runs") / "metrics.csv").open(newline="") as file:
        rows = [int(row["step"]) for row in csv.DictReader(file)]
    assert steps_saved(tmp_path / "runs") == rows[-1] + 1, "no step is lost"


def test_a_write_to_a_closed_terminal_is_no_error_before_its_signal():
    """The error of a write may be there before SIGHUP is handled, as on a busy machine."""
    child, terminal = pty.fork()
    if not child:
        status = 1
        try:
            # As if it came later.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
            sys.stdout = sys.__stdout__ = open(1, "w", closefd=False)  # noqa: SIM115
            sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115
            with signals.leaving_on_signals():
                print("begun", flush=True)
                while os.isatty(1):
                    time.sleep(0.01)
                for stream in (sys.stdout, sys.stderr):
                    print("a line", file=stream, flush=True)
                status = 7
        finally:
            os._exit(status)
    assert b"begun" in os.read(terminal, 1 << 10)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


def test_under_nohup_a_terminal_may_close():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.leaving_on_signals() as taken:
            taken.noting = True
            send(signal.SIGHUP)
        assert taken.received is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_what_printed_on_the_terminal_may_be_gone():
    """As tee; the last words still go to stderr, and files have all of it."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.dup2(write, 1)
        os.dup2(write, 2)
        signals.let_go_of_terminal()
        os.write(1, b"nowhere")
        os.write(2, b"last words")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(read, 100) == b"last words"
    os.close(read)
    os.close(write)


class Numbers(torch.utils.data.Dataset):
    def __len__(self):
        return 60

    def __getitem__(self, index):
        time.sleep(0.005)
        return index


def test_loader_processes_outlive_a_signal_to_all():
    loader = DataLoader(Numbers(), num_workers=2, worker_init_fn=begin_loading)
    iterator = iter(loader)
    numbers = [int(next(iterator))]
    workers = iterator._workers
    for worker in workers:
        for number in signals.SIGNALS:
            _send_from_another_process(worker.pid, number)
    numbers += [int(number) for number in iterator]
    assert numbers == list(range(60))
    fresh = iter(loader)
    next(fresh)
    worker = fresh._workers[0]
    worker.terminate()
    worker.join(10)
    assert worker.exitcode == 0, "its own parent ends it"
    for other in fresh._workers:
        other.terminate()


def _send_from_another_process(pid, number):
    child = os.fork()
    if not child:
        os.kill(pid, number)
        os._exit(0)
    os.waitpid(child, 0)
