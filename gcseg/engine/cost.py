"""What a network costs: parameters, operations of a forward pass, memory of a training step.

Counted on a copy whose tensors have shapes and no contents (PyTorch's meta device), so that
nothing is computed or allocated. A network that looks into its tensors can't be counted like that.
"""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from gcseg.losses import cross_entropy

HALF_PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


def parameters(model: nn.Module) -> int:
    """How many numbers a network learns; batch norm's running statistics are none."""
    return sum(parameter.numel() for parameter in model.parameters())


def forward_flops(model: nn.Module, height: int, width: int) -> int | None:
    """Floating point operations of the forward pass of one image, as in evaluation.

    A multiplication and an addition count as two, and only convolutions and matrix products count,
    which is the convention of PyTorch's FlopCounterMode.

    Args:
        model: Maps `1 x 3 x height x width` images to logits; it is left as it is.
        height: In pixels.
        width: In pixels.

    Returns:
        None where the network can't be counted.
    """

    def count() -> int:
        counter = FlopCounterMode(display=False)
        with counter, torch.no_grad():
            _meta_copy(model).eval()(torch.empty(1, 3, height, width, device="meta"))
        return counter.get_total_flops()

    return _unless_it_fails(count)


def training_flops(model: nn.Module, height: int, width: int) -> int | None:
    """Floating point operations of a training step for one image: forward and backward pass.

    The auxiliary head's are among them, and what is computed again in the backward pass.

    Args:
        model: A `Segmentor` or what is called like one; it is left as it is.
        height: Of a crop, in pixels.
        width: Likewise.

    Returns:
        As `forward_flops`.
    """

    def count() -> int:
        counter = FlopCounterMode(display=False)
        with counter:
            network = _meta_copy(model).train()
            _step(network, 2, height, width)  # batch norm may want more than one
        return counter.get_total_flops() // 2

    return _unless_it_fails(count)


def training_memory(
    model: nn.Module,
    batch: int,
    height: int,
    width: int,
    *,
    optimizer_states: int,
    ema: bool = False,
    precision: str = "32",
) -> int | None:
    """Estimate the memory that a training step needs at most on one device, in bytes.

    Parameters, buffers, optimizer states and the moving average, which are there all the time, and
    the most that images, activations and gradients take at once in a forward and backward pass,
    which is gone through tensor by tensor. Left out is what depends on the machine: workspaces of
    convolutions, what allocators keep or lose to fragments, buffers in which processes exchange
    gradients, and the libraries themselves (on a GPU, some hundred megabytes). So it is less than
    what is needed: two thirds of what steps of r18 and r50 on 4 x 3 x 256 x 256 took on a CPU.

    Mixed precision is approximated: activations, and a copy of the parameters, at 2 bytes a number.

    Args:
        model: A `Segmentor` or what is called like one; it is left as it is.
        batch: Images in a forward pass.
        height: Of a crop, in pixels.
        width: Likewise.
        optimizer_states: Numbers that the optimizer keeps for each parameter: 1 for SGD with
            momentum, 2 for AdamW.
        ema: Whether a moving average of the weights is kept.
        precision: "32", "bf16-mixed" or "16-mixed".

    Returns:
        None where the network can't be counted.
    """
    half = HALF_PRECISIONS.get(str(precision))
    weights = _bytes(model.parameters())
    learnt = _bytes(p for p in model.parameters() if p.requires_grad)
    constant = weights + _bytes(model.buffers()) + optimizer_states * learnt
    if ema:
        constant += weights + _bytes(model.buffers())
    # The loader's images, float32, and labels, uint8, beside what the network is given.
    constant += batch * height * width * (3 * 4 + 1)

    def count() -> int:
        network = _meta_copy(model).train()
        if half is None:
            return constant + _step_peak(network, batch, height, width)
        # Gradients are float32 all the same, and parameters are there in both.
        extra = learnt // 2 + weights // 2
        return constant + extra + _step_peak(network.to(half), batch, height, width)

    return _unless_it_fails(count)


def optimizer_states(optimizer: torch.optim.Optimizer) -> int:
    """How many numbers an optimizer keeps for each parameter, beside the parameter itself.

    Found by a step of one of its kind on a few numbers; 2, as of AdamW, where that fails.
    """
    few = nn.Parameter(torch.zeros(7))
    few.grad = torch.zeros(7)
    known = inspect.signature(type(optimizer)).parameters
    settings = {name: value for name, value in optimizer.defaults.items() if name in known}
    try:
        alike = type(optimizer)([few], **settings)
        alike.step()
    except Exception:  # whatever an optimizer of the user's own may raise
        return 2
    kept = (value for value in alike.state[few].values() if isinstance(value, Tensor))
    return sum(value.numel() for value in kept) // few.numel()


def cost_record(model: nn.Module, height: int, width: int) -> dict[str, int]:
    """A network's cost as results.json holds it, without operations that can't be counted.

    Args:
        model: See `forward_flops`.
        height: Of a crop, in pixels.
        width: Likewise.
    """
    counted = {
        "flops": forward_flops(model, height, width),
        "training_flops": training_flops(model, height, width),
    }
    known = {name: count for name, count in counted.items() if count is not None}
    return {"parameters": parameters(model), **known, "height": height, "width": width}


def _step_peak(network: nn.Module, batch: int, height: int, width: int) -> int:
    """The most bytes that are alive at once in a forward and a backward pass, but for weights.

    Args:
        network: On the meta device.
        batch: See `training_memory`.
        height: See `training_memory`.
        width: See `training_memory`.
    """
    with _Alive(network) as alive:
        _step(network, batch, height, width)
    return int(alive.peak)


def _step(network: nn.Module, batch: int, height: int, width: int) -> None:
    """A forward and a backward pass on the meta device."""
    dtype = next(network.parameters()).dtype
    images = torch.empty(batch, 3, height, width, dtype=dtype, device="meta")
    labels = torch.empty(batch, height, width, dtype=torch.int64, device="meta")
    logits, auxiliary_logits = network(images, auxiliary=True)
    loss = cross_entropy(logits, labels)
    if auxiliary_logits is not None:
        loss = loss + cross_entropy(auxiliary_logits, labels)
    del logits, auxiliary_logits
    loss.backward()  # type: ignore[no-untyped-call]


class _Alive(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows which storages are alive that operations made.

    Args:
        network: Whose parameters and buffers do not count.

    Attributes:
        peak: The most bytes at once.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak: int = 0
        self._alive = 0
        self._known = weakref.WeakSet(
            tensor.untyped_storage() for tensor in (*network.parameters(), *network.buffers())
        )

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call an operation and note what it made."""
        result = func(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor):
                storage = value.untyped_storage()
                if storage not in self._known:  # not changed in place, and no view
                    self._known.add(storage)
                    self._add(storage.nbytes())
                    weakref.finalize(storage, self._add, -storage.nbytes())
        return result

    def _add(self, count: int) -> None:
        self._alive += count
        self.peak = max(self.peak, self._alive)


def _meta_copy(model: nn.Module) -> nn.Module:
    """A copy on the meta device, never compiled; the tensors themselves are not copied."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        shape = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(shape, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _unless_it_fails(count: Callable[[], int]) -> int | None:
    """What is counted; None where the network does what tensors without contents can't."""
    try:
        with torch.random.fork_rng(devices=[]):  # dropout may draw
            return count()
    except Exception:  # whatever a network of the user's own may raise
        return None
