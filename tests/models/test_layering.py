"""The networks and their weights need PyTorch alone."""

import json
import subprocess
import sys

import pytest

BLOCKED = (
    *("pytorch_lightning", "lightning", "torchmetrics", "hydra", "omegaconf", "wandb"),
    *("albumentations", "cv2", "PIL"),
)


PACKAGES = ("gcseg.models", "gcseg.weights")


@pytest.fixture(scope="module")
def imported():
    """What each package imports, in a process that has PyTorch, or the error."""
    # None in sys.modules makes Python refuse the import.
    script = f"""
import json, os, sys, torch, traceback
sys.modules.update(dict.fromkeys({BLOCKED}))
for package in {PACKAGES}:
    if not os.fork():
        try:
            exec(f"from {{package}} import *")
            found = [name for name in sys.modules if name.startswith("gcseg.")]
        except BaseException:
            found = traceback.format_exc()
        print(json.dumps({{package: found}}), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {key: one for line in done.stdout.splitlines() for key, one in json.loads(line).items()}


@pytest.mark.parametrize("package", PACKAGES)
def test_imports_without_the_training_stack(imported, package):
    names = imported[package]
    assert isinstance(names, list), names
    allowed = ("gcseg.errors", "gcseg.system.text", "gcseg.system.records", "gcseg.models", package)
    others = [name for name in names if not name.startswith(allowed)]
    light = {"gcseg.system", "gcseg.system.files", "gcseg.system.links"}
    light |= {"gcseg.exports", "gcseg.exports.names"}
    assert set(others) <= light, others
