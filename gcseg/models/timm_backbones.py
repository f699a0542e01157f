"""Backbones of timm (PyTorch Image Models, Wightman 2019), by their name in its registry.

A name is looked up in the registry and nowhere else: nothing is downloaded, and no configuration
of the Hugging Face Hub is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gcseg.errors import ConfigError
from gcseg.models.checkpointing import checkpointed
from gcseg.models.checks import check_choice, check_fraction, check_positive

STAGES = 4
"""Stages that a backbone gives to the heads: the last ones of the network."""
_ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True}, {})
"""Arguments that let a network take pictures of any size, for the families that have them: Swin's,
the plain vision transformers', and the convolutional ones', which need none."""

_DERIVED = ("relative_position_index", "attn_mask", "relative_coords_table")
"""Buffers of Swin transformers that some files have and the networks compute."""


class NormAct(nn.BatchNorm2d):
    """Batch norm with an activation, in the place of timm's `BatchNormAct2d`, whose values it has.

    timm's class is a batch norm too, so that what replaces batch norms, as for several processes,
    would drop its activation.
    """

    drop: nn.Module
    act: nn.Module

    def forward(self, input: Tensor) -> Tensor:
        """Normalise N x C x H x W features, and apply the activation."""
        output: Tensor = self.act(self.drop(super().forward(input)))
        return output


class TimmBackbone(nn.Module):
    """Four stages of features of a network of timm.

    Args:
        model: Name of the network in timm's registry, for messages.
        network: Network that maps images to a list of features, as timm's `features_only` makes it.
        in_channels: Channels of the input.
        checkpoint_activations: Whether the modules' activations are computed again in the backward
            pass instead of being kept.

    Attributes:
        channels: Numbers of channels of the four stages.
        strides: Strides of the four stages.
    """

    def __init__(
        self,
        model: str,
        network: nn.Module,
        *,
        in_channels: int = 3,
        checkpoint_activations: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.network = network
        self.in_channels = in_channels
        self.checkpoint_activations = checkpoint_activations
        info: Any = network.feature_info
        self.channels = tuple(info.channels()[-STAGES:])
        self.strides = tuple(info.reduction()[-STAGES:])
        self._last_channels = str(getattr(network, "output_fmt", "NCHW")).endswith("NHWC")
        self._modules_of_levels = tuple(info.module_name())
        for module in network.modules():
            if _is_norm_act(module):
                module.__class__ = NormAct

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the four stages' features.

        Pictures are padded with zeros, which is the mean colour, at the right and at the bottom to
        a multiple of the largest stride, as some networks need it.

        Args:
            x: `N x in_channels x H x W` float images of any height and width.

        Returns:
            `N x channels[i] x h_i x w_i` for the stages i, where h_i is H divided by `strides[i]`,
            rounded up.

        Raises:
            ConfigError: If `x` has a wrong number of dimensions or channels.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels:
            raise ConfigError(
                f"the input's shape is {' x '.join(str(size) for size in x.shape)}",
                f"give a batch of images, N x {self.in_channels} x H x W",
            )
        height, width = x.shape[-2:]
        largest = max(self.strides)
        features = self._levels(F.pad(x, (0, -width % largest, 0, -height % largest)))[-STAGES:]
        if self._last_channels:
            features = [one.permute(0, 3, 1, 2) for one in features]
        return tuple(
            one[..., : -(-height // stride), : -(-width // stride)]
            for one, stride in zip(features, self.strides, strict=False)
        )

    def _levels(self, x: Tensor) -> Sequence[Tensor]:
        """Compute all features that the network gives."""
        if not (self.checkpoint_activations and torch.is_grad_enabled()):
            features: Sequence[Tensor] = self.network(x)
            return features
        levels = []
        taken: Any = self.network.return_layers
        for name, module in self.network.named_children():
            x = module(x) if getattr(module, "inplace", False) else checkpointed(module, x)
            if name in taken:
                levels.append(x)
        return levels

    @property
    def stages(self) -> tuple[tuple[nn.Module, ...], ...]:
        """The network's modules in the order in which they run: the stem's, then each stage's.

        Raises:
            ConfigError: If the stages do not run one after another, as in HRNet.
        """
        groups: list[list[nn.Module]] = [[] for _ in range(STAGES + 1)]
        ends = [name.replace(".", "_") for name in self._modules_of_levels]
        before, ends = ends[:-STAGES], ends[-STAGES:]
        parts = list(_parts(self.network, (*before, *ends)))
        places = [index for name in ends for index, part in enumerate(parts) if part[0] == name]
        starts = [index for name in before for index, part in enumerate(parts) if part[0] == name]
        if len(places) != STAGES or places != sorted(places):
            raise ConfigError(
                f"the stages of timm's {self.model} do not run one after another",
                "take the whole backbone, or another one",
            )
        # Without a level before the first stage, the stage is the module that ends in it.
        stem = starts[-1] + 1 if starts else places[0]
        for index, (_, module) in enumerate(parts):
            stage = 0 if index < stem else 1 + sum(index > place for place in places[:-1])
            groups[stage].append(module)
        return tuple(map(tuple, groups))

    def own_name(self, name: str) -> str | None:
        """Translate the name of a parameter in a file of timm's.

        Args:
            name: Name of a parameter or buffer of the whole network, with its classifier.

        Returns:
            Its name in this module, which may not exist; None for what the backbone does without,
            such as the classifier.
        """
        parts = name.split(".")
        if parts[-1] in _DERIVED:
            return None
        tops = {key.partition(".")[0] for key in self.network.state_dict()}
        if tops == {"model"}:
            inside = {key.split(".")[1] for key in self.network.state_dict()}
            return f"network.model.{name}" if parts[0] in inside else None
        for count in (1, 2, 3):
            top = "_".join(parts[:count])
            if top in tops:
                return ".".join(["network", top, *parts[count:]])
        return None


def timm_backbone(
    model: str,
    *,
    output_stride: int = 32,
    in_channels: int = 3,
    drop_path_rate: float = 0.0,
    checkpoint_activations: bool = False,
) -> TimmBackbone:
    """Build a backbone of timm with random weights.

    Args:
        model: Name in timm's registry, such as `"convnext_tiny"`; a tag after a dot, which names
            weights, changes nothing here.
        output_stride: Output stride of the last stage: 8, 16 or 32. Smaller ones than the
            network's dilate its convolutions, which not every network can.
        in_channels: Channels of the input.
        drop_path_rate: Probability with which the last residual branch is skipped in training
            (stochastic depth, Huang et al., ECCV 2016); lower ones before it.
        checkpoint_activations: See `TimmBackbone`.

    Raises:
        ConfigError: If timm is missing or does not know the network, or if the network does not
            have four stages, the output stride or one of the other arguments.
    """
    check_choice("output_stride", output_stride, (8, 16, 32))
    check_positive("in_channels", in_channels)
    check_fraction("drop_path_rate", drop_path_rate)
    check_timm_name(model)
    wanted: dict[str, Any] = {"in_chans": in_channels} if in_channels != 3 else {}
    if drop_path_rate:
        wanted["drop_path_rate"] = drop_path_rate
    network = _build(model, output_stride, wanted)
    if checkpoint_activations and not hasattr(network, "return_layers"):
        raise ConfigError(
            f"checkpoint_activations=true with timm's {model}, which does not run module by module",
            "leave it out, or take another backbone",
        )
    return TimmBackbone(
        model, network, in_channels=in_channels, checkpoint_activations=checkpoint_activations
    )


def check_timm_name(model: str) -> None:
    """Check that timm's registry has a network, and weights for its tag if the name has one.

    Raises:
        ConfigError: If timm is missing, or does not know the name; similar names are suggested.
    """
    registry = timm()
    architecture, _, tag = model.partition(".")
    known = registry.list_models()
    if architecture not in known:
        close = difflib.get_close_matches(architecture.lower(), known, n=3)
        meant = f"did you mean {' or '.join(close)}? " if close else ""
        raise ConfigError(
            f"timm {registry.__version__} knows no network {model!r}",
            f"{meant}timm.list_models() lists all names",
        )
    if tag:
        tags = [name.partition(".")[2] for name in registry.list_pretrained(f"{architecture}.*")]
        if tag not in tags:
            raise ConfigError(
                f"timm {registry.__version__} knows no weights {tag!r} of {architecture}",
                f"use one of {', '.join(tags)}, or leave .{tag} out"
                if tags
                else f"leave .{tag} out",
            )


def timm() -> Any:
    """Import the package timm.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError(
            f"backbone=timm needs the package timm ({error})", "pip install 'gcseg[timm]'"
        ) from None
    return timm


def _build(model: str, output_stride: int, wanted: dict[str, Any]) -> Any:
    """Build a network with its own output stride or, if it has another one, dilated."""
    network = _created(model, wanted)
    count = len(network.feature_info.channels())
    if count < STAGES:  # of a plain transformer: its last blocks
        wanted = {**wanted, "out_indices": STAGES}
        with suppress(Exception):  # of many types, as each family checks it itself
            network = _created(model, wanted)
        if len(network.feature_info.channels()) < STAGES:
            raise ConfigError(
                f"timm's {model} has {count} stages",
                f"take a network with {STAGES}, as convnext_tiny has",
            )
    own = network.feature_info.reduction()[-1]
    if own == output_stride:
        return network
    refusal = ConfigError(
        f"backbone.output_stride={output_stride} with timm's {model}, which has {own} and can't "
        "be given another",
        f"give backbone.output_stride={own}" if own in (8, 16, 32) else "take another network",
    )
    try:
        network = _created(model, {**wanted, "output_stride": output_stride})
    except Exception:  # of many types, as each family checks it itself
        raise refusal from None
    if network.feature_info.reduction()[-1] != output_stride:
        raise refusal
    return network


def _created(model: str, arguments: dict[str, Any]) -> Any:
    """Let timm make a network, for pictures of any size if it has an argument for that."""
    unknown: TypeError | None = None
    for sizes in _ANY_SIZE:
        try:
            return timm().create_model(
                model, pretrained=False, features_only=True, **arguments, **sizes
            )
        except TypeError as error:
            unknown = error
        except RuntimeError as error:  # features_only, of networks that have no features
            raise ConfigError(
                f"timm gives no features of {model} ({' '.join(str(error).split())})",
                "take another network, as convnext_tiny",
            ) from None
    refused = next((name for name in arguments if f"'{name}'" in str(unknown)), None)
    if refused == "drop_path_rate":
        raise ConfigError(f"timm's {model} has no drop_path_rate", "leave it at 0") from None
    raise ConfigError(f"timm can't make {model} ({unknown})", "take another network") from unknown


def _is_norm_act(module: nn.Module) -> bool:
    kind = type(module)
    return kind.__name__ == "BatchNormAct2d" and kind.__module__.startswith("timm.")


def _parts(network: nn.Module, ends: Sequence[str]) -> Iterator[tuple[str, nn.Module]]:
    """Yield a network's modules in order with their names, in which `_` stands for a dot.

    Modules in which several stages are, such as `blocks`, are taken apart.
    """
    within: nn.Module = getattr(network, "model", network)
    for name, module in within.named_children():
        if any(end.startswith(f"{name}_") for end in ends) and name not in ends:
            for inner, part in module.named_children():
                yield f"{name}_{inner}", part
        else:
            yield name, module
