"""A SLURM cluster that consists of this machine only, for trials: started, used, stopped.

Needs root and Debian's packages munge and slurm-wlm. It listens on the loopback interface only and
keeps all its files in one folder.
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "scontrol", "squeue")
SECONDS_TO_START = 30.0
SECONDS_TO_STOP = 20.0
SECONDS_BEFORE_REQUEUED = 5
"""Seconds that a requeued job waits; also the lifetime of its credentials."""

CONFIGURATION = """
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire={wait}
SlurmUser=root
SlurmdUser=root
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
ReturnToService=2
KillWait=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={megabytes} State=UNKNOWN
PartitionName=main Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""

SACCT = """#!{python}
# What submitit asks of sacct, from scontrol: without an accounting database sacct knows nothing.
import subprocess
import sys

wanted = [value for flag, value in zip(sys.argv, sys.argv[1:]) if flag == "-j"]
print("JobID|State|NodeList")
for job in wanted:
    shown = subprocess.run(["scontrol", "-o", "show", "job", job], capture_output=True, text=True)
    for line in shown.stdout.splitlines():
        words = dict(word.split("=", 1) for word in line.split() if "=" in word)
        name = words["JobId"]
        if "ArrayTaskId" in words:
            name = words["ArrayJobId"] + "_" + words["ArrayTaskId"]
        print(name + "|" + words["JobState"] + "|" + words.get("NodeList", ""))
"""


@contextmanager
def one_node_slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start SLURM, and stop it and its jobs at the end.

    Args:
        folder: Empty folder for its files.

    Yields:
        The environment variables with which SLURM's commands reach it.

    Raises:
        RuntimeError: A program is missing, or does not start.
    """
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"], "/usr/sbin"])
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        raise RuntimeError(f"{', '.join(missing)} not found: apt-get install slurm-wlm munge")
    environment = {**os.environ, "PATH": path, "SLURM_CONF": str(folder / "slurm.conf")}
    _write_files(folder)
    with ExitStack() as stack:
        munge = ["munged", "--foreground", f"--socket={folder}/munge.socket",
                 f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid",
                 f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"]  # fmt: skip
        for command in (munge, ["slurmctld", "-D", "-c"], ["slurmd", "-D", "-c"]):
            stack.enter_context(_running(command, environment, folder / "console.log"))
            if command is munge:
                _wait_for((folder / "munge.socket").exists, "munged", folder)
        _wait_for(lambda: _idle(environment), "slurmd", folder)
        try:
            yield environment
        finally:
            _end_jobs(environment)


def _write_files(folder: Path) -> None:
    for name in ("bin", "state", "spool"):
        (folder / name).mkdir(parents=True)
    folder.chmod(0o755)  # munged's socket is for all users
    key = folder / "munge.key"
    key.touch(mode=0o600)
    key.write_bytes(secrets.token_bytes(128))
    controller, daemon = _free_ports(2)
    megabytes = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    (folder / "slurm.conf").write_text(
        CONFIGURATION.format(
            host=socket.gethostname().partition(".")[0],
            controller=controller,
            daemon=daemon,
            folder=folder,
            wait=SECONDS_BEFORE_REQUEUED,
            cores=os.cpu_count(),
            megabytes=megabytes * 9 // 10,
        )
    )
    sacct = folder / "bin" / "sacct"
    sacct.write_text(SACCT.format(python=sys.executable))
    sacct.chmod(0o755)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextmanager
def _running(command: list[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, env=environment, stdout=output, stderr=output, stdin=subprocess.DEVNULL
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _idle(environment: dict[str, str]) -> bool:
    shown = subprocess.run(
        ["sinfo", "--noheader", "--format=%T"], env=environment, capture_output=True, text=True
    )
    return shown.stdout.strip() == "idle"


def _wait_for(condition: Callable[[], bool], what: str, folder: Path) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what} does not start: see the logs in {folder}")
        time.sleep(0.2)


def _end_jobs(environment: dict[str, str]) -> None:
    """Cancel the remaining jobs, and wait until their processes are gone."""
    subprocess.run(["scancel", "--user=root"], env=environment, capture_output=True)
    end = time.monotonic() + SECONDS_TO_STOP
    while time.monotonic() < end:
        jobs = subprocess.run(
            ["squeue", "--noheader"], env=environment, capture_output=True, text=True
        )
        if not jobs.stdout.strip():
            return
        time.sleep(0.5)
