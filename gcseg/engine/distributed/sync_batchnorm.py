"""Batch norm over the images of all processes, also on CPUs and with an activation in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from pytorch_lightning.plugins.layer_sync import LayerSync, TorchSyncBatchNorm
from torch import Tensor, nn

from gcseg.models.timm_backbones import NormAct


class CPUSyncBatchNorm(LayerSync):
    """Synchronises every batch norm of a model over all processes, and undoes it.

    PyTorch's own `SyncBatchNorm` computes on GPUs only. Names and values of parameters and buffers
    stay, and so does the behaviour of the layers in evaluation.
    """

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the layers of a model, in place, by synchronised ones."""
        return _turn(model, {nn.BatchNorm2d: _SyncBatchNorm2d, NormAct: _SyncNormAct})

    def revert(self, model: nn.Module) -> nn.Module:
        """Replace them by the plain ones."""
        return _turn(model, {_SyncBatchNorm2d: nn.BatchNorm2d, _SyncNormAct: NormAct})


class GPUSyncBatchNorm(LayerSync):
    """Synchronises every batch norm of a model over all processes by PyTorch's `SyncBatchNorm`.

    Lightning does the same, but would drop the activations that are in the layers of some models.
    """

    def __init__(self) -> None:
        self._usual = TorchSyncBatchNorm()

    def apply(self, model: nn.Module) -> nn.Module:
        """Replace the layers of a model by synchronised ones."""
        if not any(isinstance(layer, NormAct) for layer in model.modules()):
            return self._usual.apply(model)
        _turn(model, {nn.BatchNorm2d: nn.SyncBatchNorm, NormAct: _GPUSyncNormAct})
        for layer in model.modules():
            if isinstance(layer, nn.SyncBatchNorm):
                layer.process_group = None  # all processes
        return model

    def revert(self, model: nn.Module) -> nn.Module:
        """Replace them by the plain ones."""
        if not any(isinstance(layer, _GPUSyncNormAct) for layer in model.modules()):
            return self._usual.revert(model)
        return _turn(model, {nn.SyncBatchNorm: nn.BatchNorm2d, _GPUSyncNormAct: NormAct})


def _turn(model: nn.Module, kinds: Mapping[type[nn.Module], type[nn.Module]]) -> nn.Module:
    for layer in model.modules():
        if type(layer) in kinds:
            layer.__class__ = kinds[type(layer)]  # so that references to the layer stay valid
    return model


class _SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics, in training, of the images of all processes."""

    def forward(self, input: Tensor) -> Tensor:
        """Normalise N x C x H x W features."""
        if not self.training or dist.get_world_size() == 1:
            alone: Tensor = super().forward(input)
            return alone
        self._check_input_dim(input)
        output: Tensor
        output, mean, variance, count = _normalise(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean, variance * (count / (count - 1)))  # unbiased, as PyTorch keeps it
        return output

    @torch.no_grad()
    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """Update the running statistics."""
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None and self.running_var is not None
        self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:
            share = 1 / float(self.num_batches_tracked)
        self.running_mean.lerp_(mean.to(self.running_mean), share)
        self.running_var.lerp_(variance.to(self.running_var), share)


class _SyncNormAct(_SyncBatchNorm2d):
    """The same with an activation after it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalise N x C x H x W features, and apply the activation."""
        output: Tensor = self.act(self.drop(super().forward(input)))
        return output


class _GPUSyncNormAct(nn.SyncBatchNorm):
    """PyTorch's synchronised batch norm with an activation after it."""

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalise N x C x H x W features, and apply the activation."""
        output: Tensor = self.act(self.drop(super().forward(input)))
        return output


@torch.compiler.disable  # type: ignore[untyped-decorator]
def _normalise(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Normalised features, and mean, variance and count per channel over all processes."""
    results: tuple[Tensor, Tensor, Tensor, Tensor]
    results = _Normalisation.apply(input, weight, bias, eps)  # type: ignore[no-untyped-call]
    return results


class _Normalisation(torch.autograd.Function):
    """Normalisation by the statistics of all processes, differentiated through them too.

    Gradients of weight and bias are those of this process's images, which data-parallel training
    sums like all others.
    """

    @staticmethod
    def forward(
        ctx: Any, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Exchange the processes' statistics, once, and normalise by their total."""
        kind = torch.promote_types(input.dtype, torch.float32)
        number = input.numel() // input.shape[1]
        variance, mean = torch.var_mean(input.to(kind), dim=(0, 2, 3), correction=0)
        own = torch.cat([mean, variance, mean.new_tensor([number])])
        gathered = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, own)
        means, variances, numbers = torch.stack(gathered).tensor_split((len(mean), -1), dim=1)
        # By deviations from the common mean: a difference of mean squares would lose precision.
        count = numbers.sum(0)
        mean = (numbers * means).sum(0) / count
        variance = (numbers * (variances + (means - mean).square())).sum(0) / count
        ctx.save_for_backward(input, weight, mean, variance, count)
        ctx.eps = eps
        output = F.batch_norm(input, mean, variance, weight, bias, training=False, eps=eps)
        ctx.mark_non_differentiable(mean, variance, count)
        return output, mean, variance, count

    @staticmethod
    def backward(
        ctx: Any, gradient: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None]:
        """Exchange what each process's statistics contribute to the others' features, once."""
        input, given, mean, variance, count = ctx.saved_tensors
        weight = torch.ones_like(mean) if given is None else given
        # First as if the statistics were constants ...
        inner, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, input, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
        )
        # ... then the gradient through the statistics.
        sums = torch.stack([of_weight, of_bias])
        dist.all_reduce(sums)
        scale = (variance + ctx.eps).rsqrt()
        slope, shift = -sums / count * (scale * weight)
        slope = slope * scale
        shift = shift - slope * mean
        inner = inner + (input * slope.view(-1, 1, 1) + shift.view(-1, 1, 1)).to(inner.dtype)
        return inner, *((None, None) if given is None else (of_weight, of_bias)), None
