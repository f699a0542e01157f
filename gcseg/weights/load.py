"""Load a checkpoint, ours or another framework's, into one of our networks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.weights.keymaps import KEY_MAPS

TRAINING_PREFIX = "model."  # of the network's parameters in a checkpoint of our training


def load_weights(model: nn.Module, path: str | Path, strict: bool = True) -> list[str]:
    """Load a checkpoint file into a network; whose it is shows in the parameters' names.

    Files: a state dict written by `torch.save`, or a dictionary with one under `"state_dict"`
    (Lightning, mmsegmentation). Names: ours, PaddleSeg's and mmsegmentation's GCNet. No code in
    the file is run (`weights_only=True`).

    Args:
        model: The network, changed in place.
        path: The file.
        strict: Whether every parameter must have its counterpart. If not, what fits is loaded.

    Returns:
        One line for each parameter or buffer that was skipped, on either side; empty if all fit.

    Raises:
        WeightsError: If the file is missing or unreadable, if it holds no parameter of the
            network, or, if `strict`, with every mismatch of names and shapes. The network is
            unchanged then.
    """
    return load_tensors(model, read_tensors(path), source=str(path), strict=strict)


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Read the tensors of a checkpoint file, on the CPU, by the names they have in it.

    Args:
        path: The file, see `load_weights`.

    Returns:
        The tensors; the prefix of our training's checkpoints is off.

    Raises:
        WeightsError: If the file is missing, unreadable or not a state dict.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"no checkpoint at {path}", "check the path")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # of a dozen types, depending on where the file is broken
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise WeightsError(
            f"can't read {path} ({reason})",
            "give a file of tensors written by torch.save, complete and without pickled objects",
        ) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping):
        raise WeightsError(
            f"{path} holds a {type(content).__name__}", "give a file that holds a state dict"
        )
    tensors = {str(key): value for key, value in content.items() if isinstance(value, Tensor)}
    inner = {
        key.removeprefix(TRAINING_PREFIX): value
        for key, value in tensors.items()
        if key.startswith(TRAINING_PREFIX)
    }
    # What else a training keeps, such as the class weights of a loss, is not the network's.
    return inner or tensors


def load_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor], *, source: str, strict: bool = True
) -> list[str]:
    """Load tensors by their names, ours or another framework's, into a network.

    Args:
        model: The network, changed in place.
        tensors: By name.
        source: Where they come from, for messages.
        strict: See `load_weights`.

    Returns:
        See `load_weights`.

    Raises:
        WeightsError: See `load_weights`.
    """
    state = model.state_dict()
    renamed = _rename(tensors, state)

    mismatches = []
    fitting = {}
    for key, (their_key, tensor) in renamed.items():
        shown = key if key == their_key else f"{their_key} (here {key})"
        if key not in state:
            mismatches.append(f"{their_key} is not in the network")
        elif not _same_but_for_ones(tensor.shape, state[key].shape):
            mismatches.append(
                f"{shown} is {_show(tensor.shape)}, in the network {_show(state[key].shape)}"
            )
        else:
            fitting[key] = tensor.reshape(state[key].shape)
    for key in state:
        # A count of batches, absent in Paddle; batch norm with a fixed momentum does not use it.
        if key not in renamed and not key.endswith("num_batches_tracked"):
            mismatches.append(f"{key} is not in the file")

    if not fitting:
        raise WeightsError(
            f"{source} has no parameter that fits, of names such as {next(iter(tensors), 'none')}",
            "give a checkpoint of gcseg, or of PaddleSeg's or mmsegmentation's GCNet",
        )
    if strict and mismatches:
        raise WeightsError(
            f"{source} does not fit the network in {len(mismatches)} places: "
            + "; ".join(mismatches),
            "build the network that the weights are for, or load what fits with strict=False",
        )
    model.load_state_dict(fitting, strict=False)
    return mismatches


def _rename(
    tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]
) -> dict[str, tuple[str, Tensor]]:
    """Give the tensors our names, by the naming that knows most of the network's.

    Counting is what tells mmsegmentation's names from ours: the backbone's are the same.

    Returns:
        Our name: (their name, tensor). A name that no row translates stays as it is.
    """
    namings = [{key: key for key in tensors}]
    namings += [{key: keys.to_ours(key) or key for key in tensors} for keys in KEY_MAPS]
    best = max(namings, key=lambda naming: len(set(naming.values()) & state.keys()))
    return {ours: (theirs, tensors[theirs]) for theirs, ours in best.items()}


def _same_but_for_ones(first: torch.Size, second: torch.Size) -> bool:
    """Whether two shapes differ at most by ones at their ends.

    A layer norm over channels has (C,) in Paddle and (C, 1, 1) in PyTorch.
    """
    rank = max(len(first), len(second))
    ones = (1,) * rank
    return (*first, *ones)[:rank] == (*second, *ones)[:rank]


def _show(shape: torch.Size) -> str:
    return " x ".join(map(str, shape)) or "a scalar"
