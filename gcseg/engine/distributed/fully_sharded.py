"""Training with parameters, gradients and optimizer state divided among the processes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pytorch_lightning.core.optimizer import LightningOptimizer
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.optim import Optimizer

from gcseg.models.resnets import BasicBlock, Bottleneck


class FullyShardedStrategy(DDPStrategy):
    """Data parallel training by PyTorch's `fully_shard`, on GPUs or CPUs.

    Each residual block, each head, and the rest of the network is gathered where it is computed,
    and released again. Checkpoints are those of any other training: whole tensors in one file, so
    that a training begun with one strategy can resume with another.

    Lightning's own strategies refuse CPUs and read checkpoints by executing code in them.
    """

    @property
    def restore_checkpoint_after_setup(self) -> bool:
        """True: a checkpoint is loaded into the sharded network."""
        return True

    def configure_ddp(self) -> None:
        """Shard the network of the module; the module itself is called as usual."""
        # Weights are sharded by rows; convolutions take the memory format of their input.
        network = self._network().to(memory_format=torch.contiguous_format)
        mesh = init_device_mesh(self.root_device.type, (self.world_size,))
        for part in network.modules():
            if isinstance(part, BasicBlock | Bottleneck):
                fully_shard(part, mesh=mesh)
        for part in (network.head, network.auxiliary_head):
            if isinstance(part, nn.Module):
                fully_shard(part, mesh=mesh)
        fully_shard(network, mesh=mesh)

    def on_validation_start(self) -> None:
        """Gather everything, as processes differ in the number of images and passes."""
        for part in self._divided():
            part.set_reshard_after_forward(False, recurse=False)
            part.unshard()

    def on_validation_end(self) -> None:
        """Release the shards of other processes."""
        network = self._network()
        for part in self._divided():
            part.reshard()
            # As `fully_shard` leaves it: the backward pass needs the root again at once.
            part.set_reshard_after_forward(part is not network, recurse=False)

    def lightning_module_state_dict(self) -> dict[str, Any]:
        """Parameters and buffers as whole tensors; on the first process only."""
        return self._whole(super().lightning_module_state_dict())

    def load_model_state_dict(self, checkpoint: Mapping[str, Any], strict: bool = True) -> None:
        """Load this process's shard of the parameters."""
        assert self.lightning_module is not None
        own = self.lightning_module.state_dict()
        state = {
            key: _divide(value, own[key]) if key in own else value
            for key, value in checkpoint["state_dict"].items()
        }
        self.lightning_module.load_state_dict(state, strict=strict)

    def optimizer_state(self, optimizer: Optimizer) -> dict[str, Any]:
        """Optimizer state as whole tensors; on the first process only."""
        if isinstance(optimizer, LightningOptimizer):
            optimizer = optimizer._optimizer
        state = optimizer.state_dict()
        return {**state, "state": {n: self._whole(own) for n, own in state["state"].items()}}

    def load_optimizer_state_dict(self, checkpoint: Mapping[str, Any]) -> None:
        """Load this process's shard of the optimizers' states."""
        for optimizer, whole in zip(self.optimizers, checkpoint["optimizer_states"], strict=True):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            state = {
                number: {
                    key: _divide(value, parameters[number])
                    if isinstance(value, Tensor) and value.shape == parameters[number].shape
                    else value
                    for key, value in own.items()
                }
                for number, own in whole["state"].items()
            }
            optimizer.load_state_dict({**whole, "state": state})

    def _network(self) -> Any:
        assert self.lightning_module is not None
        return self.lightning_module.model

    def _divided(self) -> list[FSDPModule]:
        """Sharded parts of the network; none if it is evaluated without being trained."""
        return [part for part in self._network().modules() if isinstance(part, FSDPModule)]

    def _whole(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Gather the tensors among values, one after the other, for the first process."""
        whole = {}
        for key, value in values.items():
            gathered = value.full_tensor() if isinstance(value, DTensor) else value
            if self.is_global_zero:
                whole[key] = gathered.cpu() if isinstance(gathered, Tensor) else gathered
        return whole


def _divide(value: Tensor, like: Tensor) -> Tensor:
    """Shard a whole tensor as this process holds it, if `like` is sharded."""
    if not isinstance(like, DTensor):
        return value
    on_device = value.to(like.device, torch.promote_types(value.dtype, like.dtype))
    return distribute_tensor(on_device, like.device_mesh, like.placements)
