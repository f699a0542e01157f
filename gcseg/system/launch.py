"""Rank of this process in a training, known before Lightning starts, and its launcher."""

from __future__ import annotations

import os
from dataclasses import dataclass

from gcseg.errors import ConfigError

_RANKS = ("RANK", "LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
"""Variables of Lightning, torchrun and SLURM for a process's rank; 0 or none is the first."""


@dataclass(frozen=True)
class Launch:
    """Group of processes that a launcher started, including this one.

    Args:
        launcher: Name of the launcher.
        processes: Number of processes in all.
        per_node: Number of processes on each machine, if the launcher gives it.
    """

    launcher: str
    processes: int
    per_node: int | None


_TORCH_LOG_LEVEL = "TORCH_CPP_LOG_LEVEL"
"""Variable that PyTorch reads when it is imported."""
_GPUS = ("/dev/nvidiactl", "/dev/kfd")
"""Files of a machine with GPUs."""


def hide_ddp_warnings(devices: int | str, num_nodes: int) -> None:
    """Hide PyTorch's warnings about several processes on CPUs; call it before PyTorch is imported.

    Each of three or more processes warns at length that no parameter is unused, which
    `gcseg.builders.devices.distribution` allows for. On a machine with GPUs all warnings are kept.

    Args:
        devices: Number of processes on each machine, or `auto`.
        num_nodes: Number of machines.
    """
    processes = num_nodes * (devices if isinstance(devices, int) else 1)
    if processes > 2 and not any(map(os.path.exists, _GPUS)):
        os.environ.setdefault(_TORCH_LOG_LEVEL, "ERROR")


def is_first_process() -> bool:
    """Return whether this process is the first of its training."""
    return all(os.environ.get(name, "0") == "0" for name in _RANKS)


def launched() -> Launch | None:
    """Group of processes that torchrun or srun started; None if this one was started alone.

    Lightning then starts the other processes itself. As with Lightning, SLURM does not count in
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
    """Check that the number of started processes is that of the settings.

    Args:
        devices: Number of processes on each machine.
        num_nodes: Number of machines.

    Raises:
        ConfigError: There are more or fewer; each would wait for the others, or train alone.
    """
    launch = launched()
    if launch is None:
        return
    if launch.per_node is None and launch.processes > 1:  # for example with --ntasks
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
