"""Cost of a network: parameters, operations of a forward pass, memory of a training step.

Counted on a copy whose tensors have shapes and no contents (PyTorch's meta device), so that
nothing is computed or allocated. A network whose code reads values of tensors can't be counted.
"""

from __future__ import annotations

import copy
import inspect
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from gcseg.losses import cross_entropy

Counted = TypeVar("Counted")

HALF_PRECISIONS = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


_LOSS_PER_PIXEL = 4 + 4
"""Bytes of a pixel in a loss that takes coarse logits: of its loss, and of the gradient."""


@dataclass(frozen=True)
class Cost:
    """Cost of a network in a training; None where the network can't be counted.

    Args:
        parameters: Number of learnable parameters, without batch norm's running statistics.
        flops: Floating point operations of the forward pass of one image, see `forward_flops`.
        training_flops: The same of a training step, for one image: forward and backward pass,
            with the auxiliary head and with what is recomputed in the backward pass.
        memory: Estimated peak of memory of a training step on one device, in bytes.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.
    """

    parameters: int
    flops: int | None
    training_flops: int | None
    memory: int | None
    height: int
    width: int

    def record(self) -> dict[str, int]:
        """Cost as results.json holds it, without operations that can't be counted."""
        counted = {"flops": self.flops, "training_flops": self.training_flops}
        known = {name: count for name, count in counted.items() if count is not None}
        size = {"height": self.height, "width": self.width}
        return {"parameters": self.parameters, **known, **size}


def parameters(model: nn.Module) -> int:
    """Number of learnable parameters, without batch norm's running statistics."""
    return sum(parameter.numel() for parameter in model.parameters())


def forward_flops(model: nn.Module, height: int, width: int) -> int | None:
    """Floating point operations of the forward pass of one image, as in evaluation.

    A multiplication and an addition count as two, and only convolutions and matrix products count,
    which is the convention of PyTorch's FlopCounterMode and its table of operations.

    Args:
        model: Network that maps `1 x 3 x height x width` images to logits; it is not changed.
        height: Height of the image, in pixels.
        width: Width of the image, in pixels.

    Returns:
        Number of operations; None if the network can't be counted.
    """

    def count() -> int:
        network = _meta_copy(model).eval()
        with _Step(network) as step, torch.no_grad():
            network(torch.empty(1, _channels(model), height, width, device="meta"))
        return int(step.flops)

    return _unless_it_fails(count)


def training_cost(
    model: nn.Module,
    batch: int,
    height: int,
    width: int,
    *,
    optimizer_states: int,
    ema: bool = False,
    precision: str = "32",
    coarse_loss: bool = True,
) -> Cost:
    """Count what a training costs, from one forward pass and one training step.

    Memory is the sum of parameters, buffers, optimizer states and the moving average, which are
    always there, and the peak of images, activations and gradients in a forward and backward
    pass, which is traced tensor by tensor. Left out is what depends on the machine: workspaces of
    convolutions, memory that allocators cache or lose to fragmentation, buffers in which processes
    exchange gradients, and the libraries themselves (on a GPU, some hundred megabytes). So it is
    less than what is needed: two thirds of what steps of r18 and r50 on 4 x 3 x 256 x 256 took on
    a CPU.

    Mixed precision is approximated: activations, and a copy of the parameters, at 2 bytes a number.

    Args:
        model: A `Segmentor`, or a network with the same interface; it is not changed.
        batch: Images in a forward pass of the training.
        height: Height of the crop, in pixels.
        width: Width of the crop, in pixels.
        optimizer_states: Numbers that the optimizer keeps for each parameter: 1 for SGD with
            momentum, 2 for AdamW.
        ema: Whether a moving average of the weights is kept.
        precision: "32", "bf16-mixed" or "16-mixed".
        coarse_loss: Whether the loss takes logits as the heads give them, see
            `gcseg.losses.loss_of`.
    """
    half = HALF_PRECISIONS.get(str(precision))
    weights = _bytes(model.parameters())
    learnt = _bytes(p for p in model.parameters() if p.requires_grad)
    constant = weights + _bytes(model.buffers()) + optimizer_states * learnt
    if ema:
        constant += weights + _bytes(model.buffers())
    # The loader's images, float32, and labels, uint8, in addition to the network's input.
    constant += batch * height * width * (4 * _channels(model) + 1)
    if coarse_loss:
        constant += batch * height * width * _LOSS_PER_PIXEL
    if half is not None:  # gradients are still float32, and parameters are kept in both precisions
        constant += learnt // 2 + weights // 2

    def count() -> tuple[int, int]:
        network = _meta_copy(model).train()
        if half is not None:
            network = network.to(half)
        with _Step(network) as step:
            _run_step(network, batch, height, width, coarse_loss)
        return step.flops // batch, constant + step.peak

    training_flops, memory = _unless_it_fails(count) or (None, None)
    return Cost(
        parameters=parameters(model),
        flops=forward_flops(model, height, width),
        training_flops=training_flops,
        memory=memory,
        height=height,
        width=width,
    )


def optimizer_states(optimizer: torch.optim.Optimizer) -> int:
    """Count the numbers an optimizer keeps for each parameter, without the parameter itself.

    Found by a step of a similar optimizer on a few numbers; 2, as for AdamW, if that fails.
    """
    few = nn.Parameter(torch.zeros(7))
    few.grad = torch.zeros(7)
    known = inspect.signature(type(optimizer)).parameters
    settings = {name: value for name, value in optimizer.defaults.items() if name in known}
    try:
        alike = type(optimizer)([few], **settings)
        alike.step()
    except Exception:  # a user-defined optimizer may raise anything
        return 2
    kept = (value for value in alike.state[few].values() if isinstance(value, Tensor))
    return sum(value.numel() for value in kept) // few.numel()


def _channels(network: nn.Module) -> int:
    """Channels of a network's images; those of RGB if it does not say."""
    return int(getattr(network, "in_channels", 3))


def _run_step(network: nn.Module, batch: int, height: int, width: int, coarse_loss: bool) -> None:
    """Run a forward and a backward pass on the meta device."""
    dtype = next(network.parameters()).dtype
    images = torch.empty(batch, _channels(network), height, width, dtype=dtype, device="meta")
    labels = torch.empty(batch, height, width, dtype=torch.int64, device="meta")
    found = network(images, auxiliary=True, coarse=coarse_loss)
    outputs = [logits for logits in found if logits is not None]
    if coarse_loss:  # what a loss computes in strips is not counted
        loss = torch.stack([logits.float().mean() for logits in outputs]).sum()
    else:
        loss = torch.stack([cross_entropy(logits, labels) for logits in outputs]).sum()
    del outputs, found
    loss.backward()  # type: ignore[no-untyped-call]


class _Step(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts operations, and tracks which storages made by them are alive.

    Args:
        network: Network whose parameters and buffers do not count as memory.

    Attributes:
        flops: Floating point operations until now.
        peak: Largest number of bytes alive at once.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops: int = 0
        self.peak: int = 0
        self._alive = 0
        self._known = weakref.WeakSet(
            tensor.untyped_storage() for tensor in (*network.parameters(), *network.buffers())
        )

    def __torch_dispatch__(
        self,
        func: OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call an operation, count it and record the storages that it made."""
        result = func(*args, **(kwargs or {}))
        count = flop_registry.get(func._overloadpacket)
        if count is not None:
            self.flops += count(*args, **(kwargs or {}), out_val=result)
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
    """Copy a model to the meta device, uncompiled; the tensors' contents are not copied."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        shape = torch.empty_like(parameter, device="meta")
        memo[id(parameter)] = nn.Parameter(shape, requires_grad=parameter.requires_grad)
    for buffer in model.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(model, memo)


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _unless_it_fails(count: Callable[[], Counted]) -> Counted | None:
    """Result of `count`; None if the network does what tensors without contents can't."""
    try:
        with torch.random.fork_rng(devices=[]):  # dropout may draw random numbers
            return count()
    except Exception:  # a user-defined network may raise anything
        return None
