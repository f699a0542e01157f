"""Rules between settings; the table of settings has the rules of single ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gcseg.config.row import as_given
from gcseg.errors import ConfigError

Settings = Mapping[str, Any]


def value_of(settings: Settings, name: str) -> Any:
    """Look up a setting by its dotted name; None if it does not exist."""
    value: Any = settings
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _seeds_are_expanded(settings: Settings, _: str) -> None:
    if (seeds := settings.get("seeds")) is not None:
        raise ConfigError(
            f"seeds={seeds} in a file", "give it on the command line, or sweep seed in the file"
        )


def _warmup_ends(settings: Settings, _: str) -> None:
    steps, iters = (value_of(settings, name) for name in ("optim.warmup_iters", "iters"))
    in_epochs = settings.get("epochs") is not None  # checked again as soon as they are steps
    if isinstance(steps, int) and iters is not None and steps > iters and not in_epochs:
        raise ConfigError(
            f"optim.warmup_iters={steps} with iters={iters}",
            f"give at most {iters}, or train for longer",
        )


def _weights_can_be_divided(settings: Settings, _: str) -> None:
    """With fsdp, refuse settings that need the weights of the whole network in one place."""
    if settings.get("strategy") != "fsdp":
        return
    for name in ("ema.decay", "compile", "checkpoint_activations"):
        if value := value_of(settings, name):
            raise ConfigError(
                f"{name}={str(value).lower()} with strategy=fsdp",
                f"use strategy=ddp, or leave {name} out",
            )
    if settings["precision"] == "16-mixed":
        raise ConfigError("precision=16-mixed with strategy=fsdp", "use bf16-mixed or 32")


def _some_class_counts(settings: Settings, _: str) -> None:
    weights = settings.get("class_weights")
    if isinstance(weights, list) and not any(weights):
        raise ConfigError(f"class_weights={weights}", "give one above 0, or null")


def _scales_are_in_order(settings: Settings, _: str) -> None:
    scale = value_of(settings, "augment.scale")
    if scale is not None and scale["min"] > scale["max"]:
        raise ConfigError(
            f"augment.scale from {scale['min']} to {scale['max']}", "give 0 < min <= max"
        )


def _rectangles_are_whole(settings: Settings, _: str) -> None:
    for name in ("dataset.fit", "augment.scale.fit"):
        long, short = (value_of(settings, f"{name}.{side}") for side in ("long", "short"))
        if (long is None) != (short is None):
            raise ConfigError(
                f"{name}.long={_given(long)} with {name}.short={_given(short)}",
                "give both, or null for both",
            )


def _scale_has_a_span(settings: Settings, _: str) -> None:
    scale = value_of(settings, "dataset.scale")
    if scale is None:
        return
    least, most = scale if isinstance(scale, list) else (0, scale)
    if least >= most:
        raise ConfigError(
            f"dataset.scale={_given_list(scale)}",
            "give the raw value that counts as 1, above 0, or those that count as 0 and 1, the "
            "smaller first",
        )


def _channels_are_normalised(settings: Settings, command: str) -> None:
    """Except where data is looked at, which is what tells the values."""
    channels = value_of(settings, "dataset.channels") or 3
    for name in ("mean", "std"):
        values = value_of(settings, f"normalize.{name}")
        if values is None or command in ("data", "report") or len(values) == channels:
            continue
        raise ConfigError(
            f"normalize.{name}={_given_list(values)} has {len(values)} of {channels} channels",
            "give one number for each channel of the pictures (dataset.channels), as "
            "python -m gcseg.data stats prints them",
        )


def _validated_images_are_whole(settings: Settings, _: str) -> None:
    limit = settings.get("limit_val")
    if isinstance(limit, float) and limit >= 1:
        raise ConfigError(
            f"limit_val={limit}", "give a whole number of images, or a fraction below 1"
        )


def _windows_overlap(settings: Settings, _: str) -> None:
    window = value_of(settings, "inference.window") or {}
    for side in ("height", "width"):
        size, stride = window.get(side), window.get(f"stride_{side}")
        if size is not None and stride is not None and stride > size:
            raise ConfigError(
                f"inference.window.stride_{side}={stride} with a {side} of {size}",
                f"give at most {size}",
            )


def _batch_norm_has_values(settings: Settings, command: str) -> None:
    """In training, batch norm needs more than one value in each channel of the last stage."""
    stride = value_of(settings, "backbone.output_stride")
    if command != "train" or value_of(settings, "backbone._target_") != "gcseg.models.resnet":
        return
    sides = [value_of(settings, f"dataset.crop.{side}") for side in ("height", "width")]
    if settings["batch_size"] <= settings["accumulate"] and stride and max(sides) <= stride:
        raise ConfigError(
            f"one image of {sides[0]}x{sides[1]} pixels per pass is one value per channel with "
            f"backbone.output_stride={stride}, and batch norm needs two",
            "raise batch_size or dataset.crop, or use backbone.output_stride=8",
        )


def _weights_are_named(settings: Settings, _: str) -> None:
    target = value_of(settings, "backbone._target_")
    if value_of(settings, "backbone.pretrained") is True and target != "gcseg.models.timm_backbone":
        raise ConfigError(
            "backbone.pretrained=true, which stands for the weights of timm's hub with "
            "backbone=timm",
            "give a file or a name of gcseg.weights list, as "
            "backbone.pretrained=paddleseg/resnet50_vd_ssld for backbone=r50",
        )


def _sources_have_one_name(settings: Settings, command: str) -> None:
    if command not in ("predict", "attention"):
        return
    source, images = settings["source"], settings["images"]
    if source is not None and images is not None and source != images:
        raise ConfigError(
            f"source={as_given(source)} and images={as_given(images)}, which are two names of one "
            "setting",
            "give source= alone; it takes a list, [a,b]",
        )


def _given(value: object) -> str:
    return "null" if value is None else str(value)


def _given_list(value: object) -> str:
    return str(value).replace(" ", "")


RULES: tuple[Callable[[Settings, str], None], ...] = (
    _seeds_are_expanded,
    _warmup_ends,
    _weights_can_be_divided,
    _some_class_counts,
    _scales_are_in_order,
    _rectangles_are_whole,
    _scale_has_a_span,
    _channels_are_normalised,
    _validated_images_are_whole,
    _windows_overlap,
    _batch_norm_has_values,
    _weights_are_named,
    _sources_have_one_name,
)
"""Checks of settings that the table allows; each gets them and the primary configuration."""
