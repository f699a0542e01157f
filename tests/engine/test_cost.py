"""What a network costs, against real numbers and real allocations."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from gcseg.engine.cost import forward_flops, optimizer_states, parameters, training_cost
from gcseg.models import FCNHead, Segmentor, gcnet
from tests.tiny import CHANNELS, TinyBackbone

STEP = {"batch": 2, "height": 64, "width": 96, "optimizer_states": 1}


def tiny() -> Segmentor:
    return Segmentor(TinyBackbone(), FCNHead(CHANNELS[3], 5, channels=8))


def training_memory(model: nn.Module, **step) -> int | None:
    return training_cost(model, **step).memory


def cost_record(model: nn.Module, height: int, width: int) -> dict[str, int]:
    return training_cost(model, 2, height, width, optimizer_states=1).record()


def test_known_costs_of_a_published_network():
    with torch.device("meta"):
        model = gcnet("r50", 19)
    record = cost_record(model, 512, 1024)
    assert record.keys() == {"parameters", "flops", "training_flops", "height", "width"}
    assert round(record["training_flops"] / 1e9) == 2487, "with the auxiliary head's"
    assert round(record["flops"] / 1e9) == 790
    assert round(record["parameters"] / 1e6, 1) == 49.6


def test_flops_of_one_convolution_by_hand():
    conv = nn.Conv2d(3, 4, 3, padding=1)
    assert parameters(conv) == 3 * 4 * 9 + 4
    assert forward_flops(conv, 8, 10) == 2 * (3 * 9) * 4 * 80


def test_flops_are_those_of_pytorchs_counter():
    """Forward and backward, whatever the batch."""
    with torch.device("meta"):
        model = gcnet("r18", channels=16, checkpoint_activations=True)
    images = torch.empty(2, 3, 64, 96, device="meta")
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        copy.deepcopy(model).eval()(images)
    with FlopCounterMode(display=False) as both:
        logits, auxiliary_logits = copy.deepcopy(model).train()(images, auxiliary=True)
        (logits.mean() + auxiliary_logits.mean()).backward()
    for batch in (1, 2, 3):
        cost = training_cost(model, **{**STEP, "batch": batch})
        assert cost.flops == forward.get_total_flops() // 2
        assert cost.training_flops == both.get_total_flops() // 2


def test_memory_is_what_lives_at_most():
    """Without batch norm and heads it can be counted by hand, for a loss of upsampled logits."""

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 5, 1, bias=False)

        def forward(self, x, auxiliary, coarse):
            return self.conv(x).sigmoid(), None

    pixels, weights = 2 * 64 * 96, 4 * 15
    given = pixels * (3 * 4 + 1)
    # images, int64 labels; outputs of sigmoid and log-softmax and the gradients of these two
    alive = pixels * (3 * 4 + 8) + 4 * (5 * pixels * 4)
    counted = training_memory(Model(), **STEP, coarse_loss=False) - given - 2 * weights
    assert alive <= counted + 4 * 5 * pixels and counted <= alive + 4 * 5 * pixels


def test_a_loss_of_coarse_logits_takes_less_memory():
    """Upsampled logits, their softmax and the gradients of both are not held."""
    with torch.device("meta"):
        model = gcnet("r18", num_classes=600, channels=16)
    whole = training_memory(model, **STEP, coarse_loss=False)
    upsampled = 600 * (2 * 64 * 96) * 4
    assert whole - training_memory(model, **STEP) > 2 * upsampled


@pytest.mark.parametrize(("states", "ema"), [(1, False), (2, True)])
def test_what_is_there_all_the_time(states, ema):
    model = tiny()
    least = training_memory(model, **{**STEP, "optimizer_states": 0})
    more = training_memory(model, **{**STEP, "optimizer_states": states}, ema=ema)
    buffers = sum(buffer.numel() * buffer.element_size() for buffer in model.buffers())
    assert more - least == 4 * parameters(model) * (states + ema) + buffers * ema


def test_memory_grows_with_the_batch_and_shrinks_with_less_kept():
    with torch.device("meta"):
        model = gcnet("r18", channels=16)
        again = gcnet("r18", channels=16, checkpoint_activations=True)
    one, two, four = (training_memory(model, **{**STEP, "batch": n}) for n in (1, 2, 4))
    assert abs((four - two) - 2 * (two - one)) < 0.02 * (four - two)
    assert training_memory(again, **STEP) < two
    large = {**STEP, "batch": 16}
    mixed = training_memory(model, **large, precision="bf16-mixed")
    assert mixed < training_memory(model, **large)


def must_not_run(*_):
    raise AssertionError("compiled")


def test_leaves_the_network_and_the_random_numbers_alone():
    model = tiny()
    model.compile(backend=must_not_run)
    model.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = torch.get_rng_state()
    assert training_memory(model, **STEP) > 0
    assert forward_flops(model, 64, 96) > 0
    assert optimizer_states(torch.optim.SGD(model.parameters(), 0.1)) == 0
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(module.training for module in model.modules())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def test_a_network_that_looks_into_its_tensors_is_not_counted():
    class Model(nn.Module):
        def forward(self, x, auxiliary=False):
            return x if float(x.detach().sum()) > 0 else -x

    assert forward_flops(Model(), 8, 8) is None
    assert training_memory(Model(), **STEP) is None
    assert cost_record(Model(), 8, 8) == {"parameters": 0, "height": 8, "width": 8}


@pytest.mark.parametrize(
    ("optimizer", "states"),
    [
        (lambda p: torch.optim.SGD(p, 0.1, momentum=0.9), 1),
        (lambda p: torch.optim.AdamW(p, 0.1), 2),
        (lambda p: torch.optim.AdamW(p, 0.1, amsgrad=True), 3),
    ],
)
def test_states_of_optimizers(optimizer, states):
    assert optimizer_states(optimizer(tiny().parameters())) == states
