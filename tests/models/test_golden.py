"""Our networks against PaddleSeg's and mmsegmentation's outputs on the same parameters."""

import numpy as np
import pytest
import torch

from gcseg.losses import cross_entropy
from gcseg.optim import sgd
from gcseg.weights import PADDLESEG_GCNET
from tests.golden import expected, golden_model, image, label, parameter


@pytest.mark.parametrize(
    ("network", "seed"),
    [("paddleseg_gcnet_r18", 18), ("paddleseg_gcnet_r50", 50), ("mmseg_gcnet_r50", 50)],
)
def test_logits_and_features_are_the_frameworks(network, seed):
    model = golden_model(network)
    wanted = expected(network)
    x = image((1, 3, 65, 97), seed=seed)
    with torch.no_grad():
        outputs = dict(zip(("main", "aux"), model(x, auxiliary=True), strict=True))
        features = model.backbone(x)
    for name, logits in outputs.items():
        error = np.abs(logits.numpy() - wanted[name]).max() / np.abs(wanted[name]).max()
        assert error < 1e-5, f"{name} logits differ by {error:.1e}"
        assert np.array_equal(logits.argmax(1), wanted[name].argmax(1))
    if "feat_means" in wanted:
        means = [feature.mean() for feature in features]
        deviations = [feature.std() for feature in features]
        np.testing.assert_allclose(means, wanted["feat_means"], rtol=1e-5)
        np.testing.assert_allclose(deviations, wanted["feat_stds"], rtol=1e-5)


def test_ten_training_steps_are_paddlesegs():
    # In float64: rounding grows tenfold over the steps, and this leaves only PaddleSeg's part.
    network = "paddleseg_gcnet_r18"
    model = golden_model(network, dropout=0.0).double().train()
    wanted = expected("paddleseg_train_r18")
    optimizer, scheduler = sgd(model.parameters(), iters=20)
    losses, rates = [], []
    for step in range(10):
        x = image((2, 3, 64, 96), seed=100 + step).double()
        y = label((2, 64, 96), 19, seed=100 + step)
        main, auxiliary = (cross_entropy(logits, y) for logits in model(x, auxiliary=True))
        loss = main + 0.4 * auxiliary
        losses.append([main.item(), auxiliary.item(), loss.item()])
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
    np.testing.assert_allclose(losses, wanted.pop("losses"), rtol=0, atol=3e-4)
    np.testing.assert_allclose(rates, wanted.pop("lrs"), rtol=1e-6)

    state = model.state_dict()
    for name, array in wanted.items():
        start = parameter(name, array.shape)
        moved = state[PADDLESEG_GCNET.to_ours(name)].numpy() - start
        theirs = array - start
        if name.endswith("_variance"):
            # PyTorch's running variance is of samples, N / (N - 1) of Paddle's; N = 2 x 8 x 12.
            # The start's share of the statistic after ten steps of momentum 0.9 has no such factor.
            kept = (0.9**10 - 1) * start
            moved = (moved - kept) * 191 / 192 + kept
        error = np.linalg.norm(moved - theirs) / np.linalg.norm(theirs)
        # The stem's gradient comes through every layer and has the most of PaddleSeg's rounding.
        assert error < (0.1 if "conv1_1" in name else 0.03), f"{name} is off by {error:.1e}"
