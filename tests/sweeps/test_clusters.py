"""Sweeps through clusters' launchers and a search, on this machine."""

import importlib.util
import logging
import os
import shutil
import subprocess
import sys

import pytest

from gcseg.config.compose import compose
from gcseg.sweeps.sweep import quiet_search
from tests.running import REPOSITORY, child_environment

PATH = f"{os.environ['PATH']}{os.pathsep}/usr/sbin"
NEEDS = {
    "slurm": ("root, slurm-wlm, munge and hydra-submitit-launcher", lambda: (
        os.geteuid() == 0 and shutil.which("slurmctld", path=PATH)
        and shutil.which("munged", path=PATH) and there("hydra_submitit_launcher")
    )),
    "ray": ("ray and hydra-ray-launcher", lambda: there("hydra_ray_launcher")),
    "search": ("hydra-optuna-sweeper", lambda: there("hydra_optuna_sweeper")),
}  # fmt: skip


def there(plugin):
    try:
        return importlib.util.find_spec(f"hydra_plugins.{plugin}") is not None
    except ModuleNotFoundError:
        return False


@pytest.mark.filterwarnings(r"ignore:\s*.hydra/launcher/\w+. is validated against")
@pytest.mark.parametrize(
    ("overrides", "wanted"),
    [
        (["accelerator=cpu", "devices=2"], (1, 2, None)),
        (["accelerator=gpu", "devices=4", "num_nodes=2"], (2, 4, 4)),
        (["devices=3"], (1, 3, 3)),
    ],
)
def test_slurm_is_asked_for_what_the_training_needs(overrides, wanted):
    options = ["hydra/launcher=submitit_slurm", *overrides]
    launcher = compose("train", options, with_hydra=True).hydra.launcher
    assert (launcher.nodes, launcher.tasks_per_node, launcher.gpus_per_node) == wanted
    assert launcher.max_num_timeout > 0 and launcher.signal_delay_s > 0


@pytest.mark.filterwarnings(r"ignore:\s*.hydra/launcher/\w+. is validated against")
def test_ray_is_asked_for_gpus_unless_told_otherwise():
    for overrides, gpus in ((["accelerator=cpu"], None), (["devices=2"], 2)):
        cfg = compose("train", ["hydra/launcher=ray", *overrides], with_hydra=True)
        assert cfg.hydra.launcher.ray.remote.num_gpus == gpus


def test_a_search_looks_for_the_highest_and_draws_the_same_again():
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    sweeper = compose("train", ["hydra/sweeper=search", "seed=7"], with_hydra=True).hydra.sweeper
    assert str(sweeper.direction).endswith("maximize")
    assert sweeper.sampler.seed == 7
    assert sweeper.max_failure_rate == 1


def test_a_search_leaves_it_to_the_table_of_jobs_to_tell_of_them(caplog):
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("hydra_plugins.hydra_optuna_sweeper")
    config = compose("train", ["hydra/sweeper=search"], with_hydra=True)
    log = logging.getLogger("hydra_plugins.hydra_optuna_sweeper._impl")
    before = optuna.logging.get_verbosity()
    filters = list(log.filters)
    try:
        quiet_search(config)
        log.warning("Failed experiment: Return value must be float-castable. Got 'None'")
        log.warning("something else")
        assert optuna.logging.get_verbosity() == logging.WARNING
    finally:
        optuna.logging.set_verbosity(before)
        log.filters[:] = filters
    assert caplog.messages == ["something else"]


@pytest.mark.clusters
@pytest.mark.parametrize("what", NEEDS)
def test_sweeps_through(what):
    needed, there = NEEDS[what]
    if not there():
        pytest.skip(f"needs {needed}")
    done = subprocess.run(
        [sys.executable, REPOSITORY / "tools" / "try_launchers.py", what],
        env=child_environment(), capture_output=True, text=True, timeout=3600,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
