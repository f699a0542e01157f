"""hydra/launcher=local: the jobs of a multirun as processes on this machine."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

if TYPE_CHECKING:
    from gcseg.config.command import CheckedTask


class LocalLauncher(Launcher):
    """Launcher that runs jobs on this machine, each with its own GPUs.

    Args:
        jobs: Number of jobs at a time, as far as there are GPUs.
    """

    composes_before_it_runs = True
    """Jobs that can't be composed end a multirun before any has begun."""

    def __init__(self, jobs: int = 1) -> None:
        self.jobs = jobs

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Store the task and configuration that Hydra passes to launchers."""
        self.context = hydra_context
        # The task of gcseg.train, as only its configuration names this launcher.
        self.task: CheckedTask = task_function  # type: ignore[assignment]
        self.config = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Run jobs to their end.

        Raises:
            GcsegError: The sweep's folder can't be written, or a job asks for too many GPUs.
        """
        from gcseg.sweeps.local import Request, run_jobs

        setup_globals()
        before = HydraConfig.instance().cfg
        requests = []
        for number, overrides in enumerate(job_overrides, initial_job_idx):
            loader = self.context.config_loader
            config = loader.load_sweep_config(self.config, list(overrides))
            with open_dict(config):
                config.hydra.job.id = number
                config.hydra.job.num = number
            HydraConfig.instance().set_config(config)
            cfg = copy.deepcopy(config)
            with open_dict(cfg):
                del cfg["hydra"]
            given = list(config.hydra.overrides.task)
            requests.append(Request(number, given, cfg, self.task.problem(cfg)))
        HydraConfig.instance().cfg = before
        folder = Path(self.config.hydra.sweep.dir).absolute()
        returns = []
        scores = run_jobs(requests, folder, self.jobs)
        for request, score in zip(requests, scores, strict=True):
            answer = JobReturn(overrides=request.overrides, cfg=request.cfg)
            answer.return_value = score
            answer.status = JobStatus.COMPLETED
            returns.append(answer)
        return returns
