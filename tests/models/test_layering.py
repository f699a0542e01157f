"""The networks and their weights need PyTorch alone."""

import subprocess
import sys

import pytest

BLOCKED = (
    *("pytorch_lightning", "lightning", "torchmetrics", "hydra", "omegaconf", "wandb"),
    *("albumentations", "cv2", "PIL"),
)


@pytest.mark.parametrize("package", ["gcseg.models", "gcseg.weights"])
def test_imports_without_the_training_stack(package):
    # None in sys.modules makes Python refuse the import.
    script = (
        f"import sys; sys.modules.update(dict.fromkeys({BLOCKED})); from {package} import *; "
        "print(*(name for name in sys.modules if name.startswith('gcseg.')))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    allowed = ("gcseg.errors", "gcseg.system.text", "gcseg.system.records", "gcseg.models", package)
    others = [name for name in done.stdout.split() if not name.startswith(allowed)]
    light = {"gcseg.system", "gcseg.system.files", "gcseg.system.links"}
    assert set(others) <= light, others
