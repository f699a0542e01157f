"""What tests of loggers share: W&B as on a machine where nobody ever logged in."""

import builtins
import contextlib
import os
import socket

import pytest
import wandb


def refuse(*_, **__):
    raise AssertionError("there must be no prompt")


@contextlib.contextmanager
def nobody_logged_in(folder):
    """No key, no network, a home in the folder, no W&B of an earlier test.

    The process that W&B starts is spoken to on loopback; any other address is refused.
    """
    connect = socket.socket.connect

    def loopback(self, address):
        assert isinstance(address, (str, bytes)) or address[0] in ("127.0.0.1", "::1"), address
        return connect(self, address)

    wandb.teardown()
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("WANDB_")]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("NETRC", str(folder / "netrc"))
        patch.setenv("WANDB_SILENT", "true")
        patch.setenv("WANDB_ERROR_REPORTING", "false")
        patch.setattr(builtins, "input", refuse)
        patch.setattr(socket.socket, "connect", loopback)
        yield
        wandb.teardown()


@pytest.fixture
def no_account(tmp_path):
    """As long as a test runs."""
    with nobody_logged_in(tmp_path):
        yield
