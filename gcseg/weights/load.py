"""Load a checkpoint of gcseg or another framework into a network of gcseg."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gcseg.errors import MismatchError, WeightsError
from gcseg.models import TimmBackbone
from gcseg.system.text import counted, listed, shown
from gcseg.weights.architecture import describe, same_but_for_ones, show
from gcseg.weights.keymaps import KEY_MAPS
from gcseg.weights.overrides import overrides
from gcseg.weights.reading import read_checkpoint_file
from gcseg.weights.stem import adapted, described, takes_other_channels


def load_weights(
    model: nn.Module, path: str | Path, strict: bool = True, *, other_classes: bool = False
) -> list[str]:
    """Load a checkpoint file into a network; its framework shows in the parameters' names.

    Files: see `gcseg.weights.reading`; no code in them is run. Names: gcseg's, PaddleSeg's and
    mmsegmentation's.

    Args:
        model: Network, changed in place.
        path: Path of the file.
        strict: Whether every parameter must have a counterpart. If not, those that fit are loaded,
            and a first convolution of three channels is adapted to the network's, see
            `gcseg.weights.stem`.
        other_classes: Whether the file may have another number of classes than the network, whose
            classifiers then keep their weights.

    Returns:
        One line for each parameter or buffer that was skipped, on either side, for each classifier
        of another number of classes, and for an adapted first convolution; empty if all fit.

    Raises:
        WeightsError: If the file is missing or unreadable, or if it holds no parameter of the
            network, which is unchanged then.
        MismatchError: If `strict`, on mismatches of names and shapes, with the first of them. The
            network is unchanged then.

    Example:
        >>> import tempfile, torch
        >>> from pathlib import Path
        >>> from gcseg.models import gcnet
        >>> trained = gcnet("r18", num_classes=3, channels=32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "weights.pth")
        ...     torch.save(trained.state_dict(), path)
        ...     load_weights(gcnet("r18", num_classes=3, channels=32), path)
        []
    """
    file = read_checkpoint_file(path)
    return load_tensors(
        model,
        file.tensors,
        file.extra,
        source=str(path),
        strict=strict,
        other_classes=other_classes,
    )


def load_backbone(backbone: nn.Module, path: str | Path) -> list[str]:
    """Load the backbone's part of a checkpoint file; heads and ImageNet classifiers are left out.

    A first convolution of three channels is adapted to the backbone's, see `gcseg.weights.stem`.

    Args:
        backbone: Backbone, changed in place.
        path: Path of the file: a backbone of PaddleSeg, PaddleClas, mmpretrain, torchvision or
            timm, or a whole network as for `load_weights`.

    Returns:
        A line on the first convolution if it was adapted; else nothing.

    Raises:
        WeightsError: If the file is missing or unreadable, or on mismatches of names and shapes,
            with the first of them. The backbone is unchanged then.
    """
    whole = nn.ModuleDict({"backbone": backbone})  # so that it has a network's names
    file = read_checkpoint_file(path)
    timms = []
    if isinstance(backbone, TimmBackbone):
        named = ((backbone.own_name(key), key) for key in file.tensors)
        timms = [(f"backbone.{ours}", key) for ours, key in named if ours is not None]
    renamed = _rename(file.tensors, whole.state_dict(), str(path), timms)
    own = {key: named for key, named in renamed.items() if key.startswith("backbone.")}
    settings = partial(_settings_of, file.tensors, file.extra)
    return _load(
        whole,
        own,
        settings,
        source=str(path),
        strict=True,
        other_classes=False,
        other_channels=True,
    )


def load_tensors(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
    *,
    source: str,
    strict: bool = True,
    other_classes: bool = False,
) -> list[str]:
    """Load tensors by their names, gcseg's or another framework's, into a network.

    Args:
        model: Network, changed in place.
        tensors: Tensors by name.
        extra: Other content of the file, for messages.
        source: Origin of the tensors, for messages.
        strict: See `load_weights`.
        other_classes: See `load_weights`.

    Returns:
        See `load_weights`.

    Raises:
        WeightsError: See `load_weights`.
    """
    renamed = _rename(tensors, model.state_dict(), source)
    settings = partial(_settings_of, tensors, extra or {})
    return _load(
        model,
        renamed,
        settings,
        source=source,
        strict=strict,
        other_classes=other_classes,
        other_channels=not strict,
    )


def check_tensors(
    model: nn.Module, tensors: Mapping[str, Tensor], extra: Mapping[str, Any], *, source: str
) -> None:
    """Check that tensors fit a network, which may be one of shapes without values.

    Args:
        model: The network, which stays as it is.
        tensors: See `load_tensors`.
        extra: See `load_tensors`.
        source: See `load_tensors`.

    Raises:
        WeightsError: See `load_weights`, if `strict`.
    """
    renamed = _rename(tensors, model.state_dict(), source)
    settings = partial(_settings_of, tensors, extra)
    _compared(
        model,
        renamed,
        settings,
        source=source,
        strict=True,
        other_classes=False,
        other_channels=False,
    )


Named = Mapping[str, tuple[str, Tensor]]
"""Tensors by gcseg's name, each as (name in the file, tensor)."""


def _load(
    model: nn.Module,
    renamed: Named,
    settings: Callable[[], str],
    *,
    source: str,
    strict: bool,
    other_classes: bool,
    other_channels: bool,
) -> list[str]:
    fitting, skipped = _compared(
        model,
        renamed,
        settings,
        source=source,
        strict=strict,
        other_classes=other_classes,
        other_channels=other_channels,
    )
    model.load_state_dict(fitting, strict=False)
    return skipped


def _compared(
    model: nn.Module,
    renamed: Named,
    settings: Callable[[], str],
    *,
    source: str,
    strict: bool,
    other_classes: bool,
    other_channels: bool,
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the tensors of a file that fit a network, and lines on others; see `load_weights`."""
    state = model.state_dict()
    mismatches: list[str] = []
    of_classes = of_channels = 0  # mismatches in the number of classes and of channels
    classifiers: dict[str, str] = {}
    stems: list[str] = []
    fitting: dict[str, Tensor] = {}
    for key, (their_key, tensor) in renamed.items():
        name = shown(key) if key == their_key else f"{shown(their_key)} (here {shown(key)})"
        if key not in state:
            mismatches.append(f"{shown(their_key)} is not in the network")
        elif not same_but_for_ones(tensor.shape, state[key].shape):
            wanted = state[key].shape
            if differs_in_channels := takes_other_channels(key, tensor.shape, wanted):
                if other_channels:
                    fitting[key] = adapted(tensor, wanted[1])
                    stems.append(described(key, wanted[1]))
                    continue
                of_channels += differs_in_channels
            differs_in_classes = _differs_in_classes(key, tensor.shape, wanted)
            if other_classes and differs_in_classes:
                module = key.rpartition(".")[0]
                classes = f"the file has {tensor.shape[0]} classes, the network {wanted[0]}"
                classifiers[module] = f"{module} ({classes})"
            else:
                of_classes += differs_in_classes
                mismatches.append(f"{name} is {show(tensor.shape)}, in the network {show(wanted)}")
        else:
            fitting[key] = tensor.reshape(state[key].shape)
    # A count of batches, absent in Paddle; batch norm with a fixed momentum does not use it.
    missing = [key for key in state
               if key not in renamed and not key.endswith("num_batches_tracked")]  # fmt: skip
    mismatches += [f"{key} is not in the file" for key in missing]

    if not fitting:
        names = next((their_key for their_key, _ in renamed.values()), "none")
        raise WeightsError(
            f"{source} has no parameter that fits, of names such as {shown(names)}",
            "give a checkpoint of gcseg, or of PaddleSeg's or mmsegmentation's GCNet",
        )
    if strict and mismatches:
        if len(missing) == len(mismatches):
            known = settings()
            raise MismatchError(
                f"{source} is {f'for {known}' if known else 'incomplete'} and lacks "
                f"{counted(len(missing), 'parameter')} of the network, {listed(missing)}",
                "give a file that is complete, or build the network that it is for",
            )
        remedy = "build that network"
        if of_classes == len(mismatches):
            remedy = "the number of classes differs, so take the dataset that it was trained on"
        if of_channels == len(mismatches):
            remedy = "set dataset.channels=3 if the pictures have them"
        raise MismatchError(
            f"{source} is for {settings() or 'another network'} and does not fit the network in "
            f"{counted(len(mismatches), 'place')}: {listed(mismatches, '; ')}",
            remedy,
        )
    return fitting, [*stems, *classifiers.values(), *mismatches]


def _settings_of(tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> str:
    """Return the settings of the network that tensors belong to; empty where nothing shows them."""
    try:
        return " ".join(overrides(describe(tensors, extra)))
    except WeightsError:
        return ""


def _differs_in_classes(key: str, shape: torch.Size, wanted: torch.Size) -> bool:
    """Return whether a parameter is a classifier's and differs only in the number of classes."""
    return ".classifier." in key and len(shape) == len(wanted) and shape[1:] == wanted[1:]


def _rename(
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    source: str,
    further: Sequence[tuple[str, str]] = (),
) -> dict[str, tuple[str, Tensor]]:
    """Give the tensors gcseg's names, by the naming that knows most of the network's names.

    Only the counts distinguish mmsegmentation's names from gcseg's: the backbone's are the same.

    Args:
        tensors: Tensors by their name in the file.
        state: State of the network.
        source: Origin of the tensors, for messages.
        further: A naming that only this network has, as pairs of gcseg's name and the file's.

    Returns:
        Tensors by gcseg's name, each as (name in the file, tensor). A name that no row translates
        is unchanged.

    Raises:
        WeightsError: If two names stand for the same parameter.
    """
    namings = [[(key, key) for key in tensors]]
    namings += [
        [(keys.to_ours(key) or key, key) for key in tensors if not keys.ignores(key)]
        for keys in KEY_MAPS
    ]
    namings.append(list(further))
    best = max(namings, key=lambda naming: len({ours for ours, _ in naming} & state.keys()))
    renamed: dict[str, tuple[str, Tensor]] = {}
    for ours, theirs in best:
        if ours in renamed:
            raise WeightsError(
                f"{source} has two parameters for {shown(ours)}, {shown(renamed[ours][0])} and "
                f"{shown(theirs)}",
                "remove one of them",
            )
        renamed[ours] = (theirs, tensors[theirs])
    return renamed
