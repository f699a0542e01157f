"""Check that pictures are as large as the training crop."""

from __future__ import annotations

from gcseg.data.channels import stored_size
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.parallel import in_parallel
from gcseg.data.resize import ResizeToFit, scaled_size
from gcseg.errors import ConfigError
from gcseg.system.text import counted, verb

SAMPLED = 64
"""Number of pictures checked, spread over the split; before a crop is refused, all are checked."""

SMALLEST = 32
"""Smallest side of a crop, in pixels, as in `gcseg.config.table`."""

Size = tuple[int, int]
"""Height and width in pixels."""


def check_crop(
    train: SegmentationDataset, crop: Size, largest_scale: float, fit: ResizeToFit | None
) -> str | None:
    """Check that a crop is not larger than all pictures; smaller ones among them are padded.

    Sizes are read from the files' headers; no picture is decoded.

    Args:
        train: The training split.
        crop: Height and width of the training crop.
        largest_scale: Largest factor by which pictures are scaled before they are cropped.
        fit: Rectangle that is scaled instead; None to scale the picture itself.

    Returns:
        A line with the number of pictures padded at every scale; None if there are none.

    Raises:
        ConfigError: At that scale, all pictures are still smaller than the crop in a direction.
        DataError: No header and not even the first picture can be read.
    """

    def scaled(step: int) -> list[Size]:
        return [
            scaled_size(*size, largest_scale, fit)
            for size in _sizes(train, range(0, len(train), step))
        ]

    sizes = scaled(-(-len(train) // SAMPLED))
    if _sides_never_reached(crop, sizes):
        sizes = scaled(1)
    if sides := _sides_never_reached(crop, sizes):
        most = {"height": max(size[0] for size in sizes), "width": max(size[1] for size in sizes)}
        given = {"height": crop[0], "width": crop[1]}
        remedy = "give at most " + " ".join(f"dataset.crop.{side}={most[side]}" for side in sides)
        if any(most[side] < SMALLEST for side in sides):
            remedy = f"enlarge the images: each side of a crop has {SMALLEST} pixels or more"
        raise ConfigError(
            " and ".join(f"dataset.crop.{side}={given[side]}" for side in sides)
            + f" {verb(len(sides), 'is', 'are')} larger than any image becomes at "
            f"augment.scale.max={largest_scale:g}",
            remedy,
        )
    small = sum(size[0] < crop[0] or size[1] < crop[1] for size in sizes)
    if not small:
        return None
    looked_at = "" if len(sizes) == len(train) else " that were checked"
    return (
        f"{small} of {counted(len(sizes), 'picture')}{looked_at} {verb(small, 'is', 'are')} "
        f"smaller than the crop of {crop[0]}x{crop[1]} (height x width), even at "
        f"augment.scale.max={largest_scale:g}: {verb(small, 'it is', 'they are')} padded with "
        "ignored pixels"
    )


def _sides_never_reached(crop: Size, sizes: list[Size]) -> list[str]:
    return [
        side
        for axis, side in enumerate(("height", "width"))
        if crop[axis] > max(size[axis] for size in sizes)
    ]


def _sizes(train: SegmentationDataset, indices: range) -> list[Size]:
    """Return the sizes in the pictures' headers; that of the first picture if no header has one."""
    channels = train.pictures.channels
    found = in_parallel(lambda index: stored_size(train.pairs[index].image, channels), indices)
    known = [size for size in found if size is not None]
    if known:
        return known
    image, _ = train.read(0)
    return [(image.shape[0], image.shape[1])]
