import multiprocessing
import os
import pickle
import struct
import subprocess
import sys

import pytest

from gcseg.errors import OutputError
from gcseg.sweeps import ledger as module
from gcseg.sweeps.ledger import Ledger, shown_jobs
from tests.running import child_environment


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "sweep" / "ledger.sqlite")


def add(ledger, key, number=0, training="t", **options):
    overrides = options.get("overrides", [f"seed={key}"])
    settings = {"iters": 3, "modes": options.get("modes", ["none"])}
    return ledger.add(key, number, overrides=overrides, training=training, settings=settings)


def elsewhere(ledger, *words):
    """Do something with the ledger in another process, which ends then."""
    program = f"from pathlib import Path; from gcseg.sweeps.ledger import Ledger; " \
        f"print(Ledger(Path({str(ledger.path)!r})).{' '.join(words)})"  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


def test_a_jobs_life(ledger):
    job = add(ledger, "a", modes=["flip", "none"])
    assert (job.state, job.number, job.overrides, job.miou) == ("pending", 0, ("seed=a",), None)
    assert ledger.claim("a", log=ledger.path.parent / "log")
    assert ledger.job("a").state == "running"
    ledger.show_life(["a"], run="runs/x")
    assert (ledger.job("a").run, ledger.job("a").log) == (
        "runs/x", str(ledger.path.parent / "log"),
    )  # fmt: skip
    records = {"none": {"miou": 0.25}, "flip": {"miou": 0.5}}
    ledger.finish("a", "done", evaluations=records, seconds=2.5)
    (done,) = Ledger(ledger.path).jobs()
    assert (done.state, done.evaluations, done.seconds) == ("done", records, 2.5)
    assert (done.run, done.miou, done.error) == ("runs/x", 0.5, None)


@pytest.mark.parametrize("miou", [None, float("nan")])
def test_a_job_that_is_done_may_have_no_score(ledger, miou):
    add(ledger, "a")
    ledger.finish("a", "done", evaluations={"none": {"miou": miou}})
    assert ledger.job("a").miou is None


def test_an_error_goes_when_the_job_runs_again(ledger):
    add(ledger, "a")
    ledger.claim("a")
    ledger.finish("a", "failed", error="out of luck")
    assert ledger.job("a").error == "out of luck"
    assert add(ledger, "a").state == "failed", "known jobs stay as they are"
    ledger.claim("a")
    assert ledger.job("a").error is None


def test_numbers_are_the_sweeps_unless_taken(ledger):
    wanted = {"a": 2, "b": 0, "c": 2, "d": 1}
    assert [add(ledger, *item).number for item in wanted.items()] == [2, 0, 3, 1]
    assert [job.key for job in ledger.jobs()] == ["b", "d", "a", "c"]


def test_words_that_mean_something_else_now_replace_the_old_job(ledger):
    add(ledger, "old", 0, overrides=["seed=1", "tta=flip"])
    ledger.finish("old", "done", evaluations={"none": {"miou": 0.1}})
    add(ledger, "other", 1, overrides=["seed=2", "tta=flip"])
    new = add(ledger, "new", 0, overrides=["tta=flip", "seed=1"])
    assert (new.number, new.state) == (0, "pending")
    assert [job.key for job in ledger.jobs()] == ["new", "other"]


def test_no_such_job(ledger):
    with pytest.raises(KeyError):
        ledger.job("a")


def test_reports(ledger):
    for step, miou in ((4, 0.5), (2, 0.25), (4, 0.75)):
        ledger.report("a", step, miou)
    ledger.report("b", 2, 0.125)
    assert ledger.reports() == {"a": {2: 0.25, 4: 0.75}, "b": {2: 0.125}}


def test_it_can_be_sent_to_other_machines(ledger):
    add(ledger, "a")
    assert pickle.loads(pickle.dumps(ledger)).job("a").key == "a"


def test_a_training_is_in_one_pair_of_hands(ledger):
    for number, key in enumerate("abc"):
        add(ledger, key, number, training="t" if key != "c" else "other")
    assert ledger.claim("a")
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.map(ledger.claim, ["b", "c"]) == [False, True]
    assert [job.state for job in ledger.jobs()] == ["running", "pending", "running"]
    assert ledger.take_over("a") is None, "its own job still runs"
    ledger.finish("a", "done", evaluations={"none": {"miou": 0.5}})
    taken = ledger.take_over("a")
    assert (taken.key, taken.state) == ("b", "running")
    ledger.finish("b", "failed", error="x")
    assert ledger.take_over("a") is None, "it is handed over once"


def test_the_jobs_of_a_process_that_is_gone_are_interrupted(ledger):
    for number, key in enumerate("abc"):
        add(ledger, key, number, training=key)
    assert elsewhere(ledger, "claim('a')") == "True"
    ledger.claim("b")
    ledger.settle()
    assert [job.state for job in ledger.jobs()] == ["interrupted", "running", "pending"]


def test_a_training_whose_process_is_gone_can_be_had(ledger):
    add(ledger, "a", 0)
    add(ledger, "b", 1)
    assert elsewhere(ledger, "claim('a')") == "True"
    assert ledger.claim("b")
    assert [job.state for job in ledger.jobs()] == ["interrupted", "running"]


@pytest.mark.parametrize(
    ("owner", "seconds", "lives"),
    [
        ("elsewhere 1 1", 5, True),
        ("elsewhere 1 1", 500, False),
        ("{host} {pid} {start}", 5, True),
        ("{host} {pid} 1", 5, False),
    ],
)
def test_who_lives(ledger, monkeypatch, owner, seconds, lives):
    add(ledger, "a")
    host, pid, start = module.owner().split()
    monkeypatch.setattr(module, "owner", lambda: owner.format(host=host, pid=pid, start=start))
    now = module.time.time()
    with monkeypatch.context() as patch:
        patch.setattr(module.time, "time", lambda: now - seconds)
        ledger.claim("a")
    ledger.settle()
    assert ledger.job("a").state == ("running" if lives else "interrupted")


def _count(ledger, process):
    for number in range(10):
        key = f"{process}-{number}"
        ledger.add(key, 0, overrides=[key], training=key, settings={})
        assert ledger.claim(key)
        ledger.report("shared", process * 100 + number, 0.5)
        ledger.finish(key, "done", evaluations={})


def test_several_processes_write_at_once(ledger):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_count, args=(ledger, n)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    jobs = ledger.jobs()
    assert sorted(job.number for job in jobs) == list(range(40))
    assert {job.state for job in jobs} == {"done"}
    assert len(ledger.reports()["shared"]) == 40


def test_what_is_no_ledger(tmp_path):
    path = tmp_path / "ledger.sqlite"
    path.write_text("something else, and long enough that it is no empty database\n" * 20)
    with pytest.raises(
        OutputError, match=r"ledger\.sqlite can't be used .*: free space there, or "
    ):
        Ledger(path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cant_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="can't be"):
        Ledger(tmp_path / "new" / "ledger.sqlite")


KILLED = """
import os, sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute("PRAGMA cache_size = 1")
database.execute("BEGIN IMMEDIATE")
database.execute("UPDATE jobs SET state = 'failed'")
for number in range(100):
    database.execute("INSERT INTO reports VALUES (?, ?, 0.5)", ("x" * 2000, number))
os._exit(0)
"""


def test_a_transaction_of_a_killed_process_is_undone(ledger):
    add(ledger, "a")
    subprocess.run([sys.executable, "-c", KILLED, str(ledger.path)], check=True)
    journal = ledger.path.with_name("ledger.sqlite-journal")
    assert journal.read_bytes()[:8] == bytes.fromhex("d9d505f920a163d7")
    (job,) = shown_jobs(ledger.path, [])
    assert job.state == "pending" and not journal.exists()
    assert ledger.reports() == {}


@pytest.mark.parametrize("pages", [2**31, 9])
@pytest.mark.parametrize("page_size", [4096, 0])
def test_no_journal_makes_a_ledger_larger(ledger, pages, page_size):
    """SQLite would give it the size that a journal says it had before; 8 TB, in a sparse file."""
    add(ledger, "a")
    size = ledger.path.stat().st_size
    assert size < 9 * 4096
    header = bytes.fromhex("d9d505f920a163d7")
    header += struct.pack(">IIIII", 0, 1, pages, 512, page_size)
    journal = ledger.path.with_name("ledger.sqlite-journal")
    journal.write_bytes(header.ljust(512, b"\0"))
    for look in (lambda: shown_jobs(ledger.path, []), ledger.jobs):
        with pytest.raises(OutputError, match="-journal would make it larger than it is"):
            look()
    assert ledger.path.stat().st_size == size
