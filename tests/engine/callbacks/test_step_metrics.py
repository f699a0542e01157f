"""The norm of the gradients, and memory, of the steps that are logged."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from gcseg.engine.callbacks.step_metrics import StepMetrics, gradient_norm


def optimizer(seed=0):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    model(torch.randn(5, 3)).square().sum().backward()
    model[1].bias.grad = None  # as of what a step did not use
    groups = [{"params": model[0].parameters()}, {"params": model[1].parameters(), "lr": 1.0}]
    return torch.optim.SGD(groups, lr=0.1), model


@pytest.mark.parametrize("seed", range(3))
def test_the_norm_is_of_all_gradients_together(seed):
    made, model = optimizer(seed)
    gradients = [p.grad.numpy().ravel() for p in model.parameters() if p.grad is not None]
    wanted = np.sqrt(sum(float((g.astype(np.float64) ** 2).sum()) for g in gradients))
    assert len(gradients) == 3 and gradient_norm(made).item() == pytest.approx(wanted, rel=1e-6)


def test_only_what_is_logged_is_measured():
    logged = []
    module = SimpleNamespace(log=lambda name, value: logged.append((name, float(value))))
    for step in range(6):
        trainer = SimpleNamespace(global_step=step, log_every_n_steps=3)
        StepMetrics().on_before_optimizer_step(trainer, module, optimizer()[0])
    assert [name for name, _ in logged] == ["train/gradient_norm", "train/memory_bytes"] * 2
    assert dict(logged)["train/memory_bytes"] > 10_000_000
