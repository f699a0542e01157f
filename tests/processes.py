"""Several processes that compute together, started from one that has imported what they need."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import socket
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests import running

PRELOADED = ("torch", "pytorch_lightning", "hydra", "gcseg.engine.module", "gcseg.builders.trainer")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def torchrun_environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """What torchrun tells a process of one machine."""
    return {
        "TORCHELASTIC_RUN_ID": "none",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "GROUP_RANK": "0",
        "WORLD_SIZE": str(processes),
        "LOCAL_WORLD_SIZE": str(processes),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def slurm_environment(rank: int, processes: int, port: int) -> dict[str, str]:
    """What srun tells a process of one machine."""
    return {
        "SLURM_JOB_ID": "4711",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": str(processes),
        "SLURM_NTASKS_PER_NODE": str(processes),
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "localhost",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def _call(connection: Any, environment: dict[str, str], function: Any, arguments: Any) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    try:
        answer = function(*arguments)
    except BaseException:
        answer = traceback.format_exc()
        done = False
    else:
        done = True
    # Pickled plainly: the memory that tensors would be handed over in ends with this process.
    connection.send_bytes(pickle.dumps((done, answer)))


def together(
    processes: int,
    function: Callable[..., Any],
    *arguments: Any,
    environment: Callable[[int, int, int], dict[str, str]] = torchrun_environment,
    seconds: float = 120,
) -> list[Any]:
    """What a function of a module returns in each of several processes."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    port = free_port()
    started = []
    for rank in range(processes):
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(
            target=_call,
            args=(theirs, environment(rank, processes, port), function, arguments),
            daemon=False,
        )
        process.start()
        theirs.close()
        started.append((process, ours))
    answers = []
    try:
        for rank, (_, connection) in enumerate(started):
            assert connection.poll(seconds), f"process {rank} of {processes} does not answer"
            done, answer = pickle.loads(connection.recv_bytes())
            assert done, answer
            answers.append(answer)
    finally:
        for process, _ in started:
            process.join(5 if len(answers) == processes else 0)
            if process.is_alive():
                process.kill()
                process.join()
    return answers


@contextlib.contextmanager
def process_group():
    """Gloo among the processes of `together`."""
    dist.init_process_group("gloo", timeout=timedelta(seconds=60))
    try:
        yield
    finally:
        dist.destroy_process_group()


def run_together(
    processes: int, command: str, *overrides: str, cwd: Path, **options: Any
) -> list[running.Outcome]:
    """Run a command in several processes that a launcher has started."""
    settings = {key: options.pop(key) for key in ("environment", "seconds") if key in options}
    return together(processes, _command, command, overrides, cwd, options, **settings)


def _command(
    command: str, overrides: tuple[str, ...], cwd: Path, options: dict[str, str]
) -> running.Outcome:
    return running.run(command, *overrides, cwd=cwd, **options)
