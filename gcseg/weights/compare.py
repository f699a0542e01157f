"""Comparison of a file's tensors with the parameters of a network."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from gcseg.errors import MismatchError, WeightsError
from gcseg.system.text import counted, listed, shown
from gcseg.weights.architecture import same_but_for_ones, show
from gcseg.weights.stem import adapted, described, takes_other_channels

_IN_RESIDUAL = re.compile(r"backbone\.layer[1-4]\.[0-9]+\.after_")

Named = Mapping[str, tuple[str, Tensor]]
"""Tensors by gcseg's name, each as (name in the file, tensor)."""


@dataclass
class Comparison:
    """What of a file fits a network, and what does not.

    Args:
        fitting: Tensors that fit, by gcseg's name, in the network's shapes.
        adapted: Lines on first convolutions that were adapted to the network's channels.
        classifiers: Lines on classifiers of another number of classes, by module.
        mismatches: Lines on all other parameters without a counterpart of their shape.
        missing: Names of the network's parameters that are not in the file.
        of_classes: Number of mismatches that are in the number of classes alone.
        of_channels: Number of mismatches that are in the channels of the pictures alone.
    """

    fitting: dict[str, Tensor] = field(default_factory=dict)
    adapted: list[str] = field(default_factory=list)
    classifiers: dict[str, str] = field(default_factory=dict)
    mismatches: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    of_classes: int = 0
    of_channels: int = 0

    @property
    def skipped(self) -> list[str]:
        """Return a line for each parameter that is not loaded as it is."""
        return [*self.adapted, *self.classifiers.values(), *self.mismatches]

    def without_new_blocks(self) -> list[str]:
        """Allow a file to lack the context blocks of the backbone, all of them.

        Returns:
            A line on that, if it lacks them.
        """
        new = [key for key in self.missing if _IN_RESIDUAL.match(key)]
        if not new or any(_IN_RESIDUAL.match(key) for key in self.fitting):
            return []
        self.missing = [key for key in self.missing if key not in new]
        lines = {f"{key} is not in the file" for key in new}
        self.mismatches = [line for line in self.mismatches if line not in lines]
        return ["the context blocks of the backbone are not in the file, and start as new ones"]


def compare(
    model: nn.Module, renamed: Named, *, other_classes: bool, other_channels: bool
) -> Comparison:
    """Compare the tensors of a file with a network.

    Args:
        model: The network.
        renamed: Tensors of the file.
        other_classes: Whether classifiers of another number of classes are no mismatch.
        other_channels: Whether a first convolution of three channels is adapted to the network's.
    """
    state = model.state_dict()
    found = Comparison()
    for key, (their_key, tensor) in renamed.items():
        if key not in state:
            found.mismatches.append(f"{shown(their_key)} is not in the network")
            continue
        wanted = state[key].shape
        of_channels = takes_other_channels(key, tensor.shape, wanted)
        of_classes = _differs_in_classes(key, tensor.shape, wanted)
        if same_but_for_ones(tensor.shape, wanted):
            found.fitting[key] = tensor.reshape(wanted)
        elif of_channels and other_channels:
            found.fitting[key] = adapted(tensor, wanted[1])
            found.adapted.append(described(key, wanted[1]))
        elif of_classes and other_classes:
            module = key.rpartition(".")[0]
            classes = f"the file has {tensor.shape[0]} classes, the network {wanted[0]}"
            found.classifiers[module] = f"{module} ({classes})"
        else:
            name = shown(key) if key == their_key else f"{shown(their_key)} (here {shown(key)})"
            shapes = f"{show(tensor.shape)}, in the network {show(wanted)}"
            found.mismatches.append(f"{name} is {shapes}")
            found.of_channels += of_channels
            found.of_classes += of_classes
    # A count of batches, absent in Paddle; batch norm with a fixed momentum does not use it.
    found.missing = [key for key in state
                     if key not in renamed and not key.endswith("num_batches_tracked")]  # fmt: skip
    found.mismatches += [f"{key} is not in the file" for key in found.missing]
    return found


def refuse_other_network(
    found: Comparison, renamed: Named, settings: Callable[[], str], *, source: str, strict: bool
) -> None:
    """Refuse a file of which nothing fits or, if strict, not all.

    Args:
        found: The comparison.
        renamed: Tensors of the file.
        settings: Function that returns the settings of the file's network; empty if unknown.
        source: Origin of the tensors, for messages.
        strict: Whether every parameter must have a counterpart.

    Raises:
        WeightsError: Nothing fits.
        MismatchError: If `strict`, on mismatches.
    """
    if not found.fitting:
        names = next((their_key for their_key, _ in renamed.values()), "none")
        raise WeightsError(
            f"{source} has no parameter that fits, of names such as {shown(names)}",
            "give a checkpoint of gcseg, or of PaddleSeg's or mmsegmentation's GCNet",
        )
    if not strict or not found.mismatches:
        return
    if len(found.missing) == len(found.mismatches):
        known = settings()
        raise MismatchError(
            f"{source} is {f'for {known}' if known else 'incomplete'} and lacks "
            f"{counted(len(found.missing), 'parameter')} of the network, {listed(found.missing)}",
            "give a file that is complete, or build the network that it is for",
        )
    remedy = "build that network"
    if found.of_classes == len(found.mismatches):
        remedy = "the number of classes differs, so take the dataset that it was trained on"
    if found.of_channels == len(found.mismatches):
        remedy = "set dataset.channels=3 if the pictures have them"
    raise MismatchError(
        f"{source} is for {settings() or 'another network'} and does not fit the network in "
        f"{counted(len(found.mismatches), 'place')}: {listed(found.mismatches, '; ')}",
        remedy,
    )


def _differs_in_classes(key: str, shape: torch.Size, wanted: torch.Size) -> bool:
    """Return whether a parameter is a classifier's and differs only in the number of classes."""
    if shape == wanted:
        return False
    classifies = key.rpartition(".")[0].endswith("classifier")
    return classifies and len(shape) == len(wanted) and shape[1:] == wanted[1:]
