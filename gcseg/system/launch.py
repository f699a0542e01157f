"""Which process of a training this one is, before Lightning knows, and who has started it."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gcseg.errors import ConfigError

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Where Lightning, torchrun and SLURM tell a process its place; 0, or nothing, is the first."""


@dataclass(frozen=True)
class Launch:
    """What a launcher started this process among.

    Args:
        launcher: Its name.
        processes: In all.
        per_node: On each machine, as far as it says so.
    """

    launcher: str
    processes: int
    per_node: int | None


def is_first_process() -> bool:
    """Whether this process is the first of its training."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def launched() -> Launch | None:
    """What torchrun or srun started this process among; None where it was started alone.

    Lightning starts the other processes itself then. As with Lightning, SLURM does not count in
    jobs named bash or interactive.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return _launch("torchrun", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
    interactive = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")
    if "SLURM_NTASKS" in os.environ and not interactive:
        return _launch("SLURM", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE")
    return None


def _launch(launcher: str, processes: str, per_node: str) -> Launch:
    on_each = os.environ.get(per_node)
    return Launch(launcher, int(os.environ[processes]), None if on_each is None else int(on_each))


def check_launch(devices: int, num_nodes: int) -> None:
    """Check that as many processes were started as the settings say.

    Args:
        devices: Processes on each machine.
        num_nodes: Machines.

    Raises:
        ConfigError: There are more or fewer; each would wait for the others, or train alone.
    """
    launch = launched()
    if launch is None:
        return
    if launch.per_node is None and launch.processes > 1:  # as after --ntasks
        raise ConfigError(
            f"{launch.launcher} does not say how many of its {launch.processes} processes are on "
            "each machine",
            f"start them with --nodes={num_nodes} --ntasks-per-node={devices}",
        )
    per_node = launch.per_node or 1
    if (launch.processes, per_node) == (devices * num_nodes, devices):
        return
    started = f"{launch.launcher} started {launch.processes} processes, {per_node} on each machine"
    options = (
        f"--nnodes={num_nodes} --nproc_per_node={devices}"
        if launch.launcher == "torchrun"
        else f"--nodes={num_nodes} --ntasks-per-node={devices}"
    )
    raise ConfigError(
        f"devices={devices} num_nodes={num_nodes}, but {started}",
        f"give devices={per_node} num_nodes={launch.processes // max(per_node, 1)}, "
        f"or start them with {options}",
    )
