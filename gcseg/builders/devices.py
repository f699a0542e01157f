"""Devices, processes and workers that a configuration asks for."""

from __future__ import annotations

from typing import Any

import torch
from omegaconf import DictConfig
from pytorch_lightning.strategies import DDPStrategy

from gcseg.data.parallel import available_cores
from gcseg.engine.distributed.fully_sharded import FullyShardedStrategy
from gcseg.errors import ConfigError
from gcseg.system.launch import check_launch
from gcseg.system.text import counted


def worker_count(cfg: DictConfig) -> int:
    """Number of loader processes per training process."""
    if cfg.num_workers != "auto":
        return int(cfg.num_workers)
    return max(1, min(8, available_cores() // device_count(cfg)))


def device_count(cfg: DictConfig) -> int:
    """Number of devices on this machine that the run uses.

    Raises:
        ConfigError: There are fewer, or the accelerator is missing.
    """
    gpus = torch.cuda.device_count()
    on_gpu = device(cfg).type == "cuda"
    devices = cfg.get("devices", 1)
    if devices == "auto":
        return gpus if on_gpu else 1
    if on_gpu and devices > gpus:
        raise ConfigError(f"devices={devices}, but there are {gpus} GPUs", f"give at most {gpus}")
    return int(devices)


def device(cfg: DictConfig) -> torch.device:
    """Device of a command that uses only one.

    Raises:
        ConfigError: The accelerator is missing.
    """
    gpus = torch.cuda.device_count()
    if cfg.accelerator in ("gpu", "cuda") and not gpus:
        raise ConfigError(f"accelerator={cfg.accelerator}, but there is no GPU", "use cpu")
    if cfg.accelerator == "mps" and not torch.backends.mps.is_available():
        raise ConfigError("accelerator=mps, but there is no Apple GPU", "use cpu")
    if gpus and cfg.accelerator in ("auto", "gpu", "cuda"):
        return torch.device("cuda")
    on_mps = cfg.accelerator in ("auto", "mps") and torch.backends.mps.is_available()
    return torch.device("mps" if on_mps else "cpu")


def images_per_pass(cfg: DictConfig) -> int:
    """Number of images per device and forward pass, out of the global batch.

    Raises:
        ConfigError: The batch does not divide over devices and accumulated passes.
    """
    processes = process_count(cfg)
    parts = processes * int(cfg.accumulate)
    if cfg.batch_size % parts:
        raise ConfigError(
            f"batch_size={cfg.batch_size} does not divide over "
            f"{counted(processes, 'device')} x {counted(cfg.accumulate, 'accumulated pass', 'es')}",
            f"give a multiple of {parts}",
        )
    return int(cfg.batch_size) // parts


def node_count(cfg: DictConfig) -> int:
    """Number of machines that the run uses."""
    return int(cfg.get("num_nodes", 1))


def process_count(cfg: DictConfig) -> int:
    """Number of processes of the run, over all machines.

    Raises:
        ConfigError: Devices are missing, or a launcher has started a different number of processes.
    """
    devices, nodes = device_count(cfg), node_count(cfg)
    check_launch(devices, nodes)
    return devices * nodes


def distribution(cfg: DictConfig, on_cpu: bool) -> dict[str, Any]:
    """Arguments of the Trainer for several processes.

    Batch norm is over the images of all processes. Its buffers are then equal and not broadcast:
    evaluation would broadcast them too, where processes have different numbers of images.
    """
    if process_count(cfg) == 1:
        return {"strategy": "auto"}
    sharded = cfg.get("strategy") == "fsdp"
    # From three processes on, gloo adds gradients in another order after the first step, unless
    # unused parameters are searched for; an interruption would change the last bit. The warning
    # that there are none is hidden, see `gcseg.system.launch.hide_ddp_warnings`.
    same_order = on_cpu and process_count(cfg) > 2
    copied = DDPStrategy(broadcast_buffers=False, find_unused_parameters=same_order)
    return {
        "strategy": FullyShardedStrategy() if sharded else copied,
        # Tensors gathered for a validation are used in training afterwards.
        "inference_mode": not sharded,
    }
