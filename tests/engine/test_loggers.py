"""Loggers beside metrics.csv: without an account, a prompt or a network."""

import builtins
import os
import socket

import pytest
import wandb

from gcseg.engine import loggers
from gcseg.errors import ConfigError
from tests.commands import TINY


def refuse(*_, **__):
    raise AssertionError("there must be no prompt")


@pytest.fixture
def no_account(tmp_path, monkeypatch):
    """W&B as on a machine where nobody ever logged in; its staging files go to the test's folder.

    The process that W&B starts is spoken to on loopback; any other address is refused.
    """
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_SILENT", "true")
    for name in ("CONFIG", "CACHE", "DATA"):
        monkeypatch.setenv(f"WANDB_{name}_DIR", str(tmp_path / "wandb" / name.lower()))
    monkeypatch.setattr(builtins, "input", refuse)
    connect = socket.socket.connect

    def loopback(self, address):
        assert isinstance(address, (str, bytes)) or address[0] in ("127.0.0.1", "::1"), address
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", loopback)
    yield
    wandb.finish()


def test_wandb_offline_without_a_key(run, no_account, tmp_path):
    """Two trainings in one process are two runs."""
    for seed in (0, 1):
        outcome = run("train", *TINY, "iters=1", f"seed={seed}", "logger=wandb")
        assert outcome.status == 0, outcome.err
    wandb.finish()  # as the end of the process would
    for seed in (0, 1):
        (folder,) = (tmp_path / "runs").glob(f"*-s{seed}-*")
        (record,) = folder.glob("wandb/offline-run-*/run-*.wandb")
        assert record.name == f"run-{folder.name}.wandb"
        assert b"val/miou" in record.read_bytes()
        assert (folder / "metrics.csv").is_file()


def test_wandb_mode_is_the_users(tmp_path, monkeypatch, no_account):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    logger = loggers.wandb_logger(tmp_path / "name", {}, project="p", tags=("a",))
    assert logger._wandb_init["id"] == "name"
    assert logger._wandb_init["tags"] == ["a"]
    assert os.environ["WANDB_MODE"] == "disabled"


def test_tensorboard(run, tmp_path):
    outcome = run("train", *TINY, "iters=1", "logger=tensorboard")
    assert outcome.status == 0, outcome.err
    (folder,) = (tmp_path / "runs").iterdir()
    (events,) = (folder / "tensorboard").glob("events.out.tfevents.*")
    assert b"val/miou" in events.read_bytes()


def test_tensorboard_is_an_extra(tmp_path, monkeypatch):
    def missing(*_, **__):
        raise ModuleNotFoundError("tensorboard")

    monkeypatch.setattr(loggers, "TensorBoardLogger", missing)
    with pytest.raises(ConfigError, match=r"needs TensorBoard: pip install 'gcseg\[tensorboard\]'"):
        loggers.tensorboard_logger(tmp_path, {})
