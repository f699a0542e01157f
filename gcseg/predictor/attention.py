"""Attention of a trained network's context block, on a picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gcseg.data.images import Picture
from gcseg.errors import ConfigError, MemoryLimitError, WeightsError, is_out_of_memory
from gcseg.exports.network import ExportedNetwork
from gcseg.inference.predict import predict_attention
from gcseg.predictor.network import TrainedNetwork
from gcseg.visualization.attention_pictures import relative_weights


def why_no_attention(network: TrainedNetwork) -> str:
    """Return why a network has no attention map, in a few words; empty if it has one."""
    if isinstance(network.model, ExportedNetwork):
        return "an export has no attention map; the checkpoint that it was made from may have one"
    head = getattr(network.model, "head", None)
    context = getattr(head, "context", head)
    if context is None:
        return "its head has no context block, so there is no attention map"
    if getattr(context, "attention", None) is None:
        return f"its context block ({type(context).__name__}) has no attention map"
    return ""


def attention_map(network: TrainedNetwork, image: Picture, name: str) -> npt.NDArray[np.float32]:
    """Compute how much each pixel's surroundings contribute to the global context.

    The picture goes through the network whole and once, at its size for evaluation.

    Args:
        network: A network with an attention map.
        image: The picture, H x W x C.
        name: Name of the picture, for messages.

    Returns:
        Weights as multiples of that in a uniform map, H x W.

    Raises:
        ConfigError: The network has no attention map.
        MemoryLimitError: The picture does not fit into memory.
        WeightsError: The weights are NaN or infinite.
    """
    if isinstance(network.model, ExportedNetwork):
        raise ConfigError(why_no_attention(network), "give that checkpoint")
    prepared = network.prepare(image)
    tensor = prepared.tensor[None].to(network.device)
    try:
        with network.turn:
            weights = predict_attention(network.model.attention, tensor, network.protocol)[0, 0]  # type: ignore[attr-defined]
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise MemoryLimitError(
            f"the attention map of {name} ({prepared.height} x {prepared.width} pixels) does not "
            "fit into memory",
            "give a smaller picture, or accelerator=cpu",
        ) from None
    if not weights.isfinite().all():
        raise WeightsError(
            f"the attention map of {name} has NaN or infinity",
            "use a checkpoint from before the network diverged",
        )
    height, width = prepared.height, prepared.width
    padded = (int(tensor.shape[-2]), int(tensor.shape[-1]))
    return relative_weights(weights.numpy(), height, width, padded=padded)
