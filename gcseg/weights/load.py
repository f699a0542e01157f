"""Load a checkpoint of gcseg or another framework into a network of gcseg."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gcseg.errors import WeightsError
from gcseg.models import TimmBackbone
from gcseg.system.text import shown
from gcseg.weights.architecture import describe
from gcseg.weights.compare import Named, compare, refuse_other_network
from gcseg.weights.keymaps import KEY_MAPS
from gcseg.weights.names import KeyMap
from gcseg.weights.overrides import overrides
from gcseg.weights.reading import read_checkpoint_file


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
        A line on the first convolution if it was adapted, and on context blocks of the backbone if
        the file has none, which then start as they were built.

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
        new_blocks=True,
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
    found = compare(model, renamed, other_classes=False, other_channels=False)
    refuse_other_network(found, renamed, settings, source=source, strict=True)


def _load(
    model: nn.Module,
    renamed: Named,
    settings: Callable[[], str],
    *,
    source: str,
    strict: bool,
    other_classes: bool,
    other_channels: bool,
    new_blocks: bool = False,
) -> list[str]:
    found = compare(model, renamed, other_classes=other_classes, other_channels=other_channels)
    lines = found.without_new_blocks() if new_blocks else []
    refuse_other_network(found, renamed, settings, source=source, strict=strict)
    model.load_state_dict(found.fitting, strict=False)
    return [*lines, *found.skipped]


def _settings_of(tensors: Mapping[str, Tensor], extra: Mapping[str, Any]) -> str:
    """Return the settings of the network that tensors belong to; empty where nothing shows them."""
    try:
        return " ".join(overrides(describe(tensors, extra)))
    except WeightsError:
        return ""


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
    namings: list[tuple[KeyMap | None, Sequence[tuple[str, str]]]] = [
        (None, [(key, key) for key in tensors])
    ]
    namings += [
        (keys, [(keys.to_ours(key) or key, key) for key in tensors if not keys.ignores(key)])
        for keys in KEY_MAPS
    ]
    namings.append((None, further))
    keys, best = max(
        namings, key=lambda naming: len({ours for ours, _ in naming[1]} & state.keys())
    )
    renamed: dict[str, tuple[str, Tensor]] = {}
    for ours, theirs in best:
        if ours in renamed:
            raise WeightsError(
                f"{source} has two parameters for {shown(ours)}, {shown(renamed[ours][0])} and "
                f"{shown(theirs)}",
                "remove one of them",
            )
        renamed[ours] = (theirs, tensors[theirs])
    if keys is not None:
        ordered = keys.in_our_order({ours: tensor for ours, (_, tensor) in renamed.items()})
        renamed = {ours: (theirs, ordered[ours]) for ours, (theirs, _) in renamed.items()}
    return renamed
