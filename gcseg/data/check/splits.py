"""Check the labels of a training's two splits before it begins."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gcseg.data.ade20k import ade20k_classes
from gcseg.data.check.examine import left_out
from gcseg.data.check.mask_colors import tell_of_other_colors
from gcseg.data.check.survey import survey, tell
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import LabelSpace
from gcseg.errors import DataError
from gcseg.system.terminal import announce
from gcseg.system.text import counted, verb

_LISTED = 3


def check_splits(
    train: SegmentationDataset, val: SegmentationDataset, validated: Sequence[int] | None = None
) -> None:
    """Refuse labels that can't be learnt from or scored, and report what is odd.

    Args:
        train: The split that is trained on.
        val: The split on which checkpoints are selected.
        validated: Indices of its images that training validates; None for all.

    Raises:
        DataError: All pixels are ignored, or only one class occurs in training.
    """
    scored = val if validated is None else val.part(validated, val.description)
    training, validation = survey(train), survey(scored)
    if (error := training.wrong()) is not None:
        raise error
    if validation.whole and not validation.occurring:
        raise DataError(
            f"all pixels of {validation.where} are ignored: no score of a checkpoint is defined",
            "label the validation split" + ("" if validated is None else ", or raise limit_val"),
        )
    tell(training)
    tell(validation)
    _tell_of_what_is_left_out(train)
    tell_of_other_colors(train)
    _tell_of_shared_pictures(train, val)
    _tell_of_shared_colours(train.label_space)


def _tell_of_what_is_left_out(train: SegmentationDataset) -> None:
    """Warn of bits and channels of the first picture that are not read; the doctor finds others."""
    if train.pictures.is_usual:
        for _, message, remedy in left_out(train.pairs[0].image):
            announce(f"warning: {message}: {remedy}")


def _tell_of_shared_colours(space: LabelSpace) -> None:
    """Warn of classes that look alike in all pictures."""
    if space.names == ade20k_classes().names:  # whose published colours repeat one
        return
    first: dict[tuple[int, int, int], str] = {}
    for name, color in zip(space.names, space.colors, strict=True):
        if (other := first.setdefault(color, name)) != name:
            announce(
                f"warning: classes {other} and {name} have the same colour {list(color)}: give one "
                "of them another colour in the class list, or they look the same in pictures"
            )
            return


def _tell_of_shared_pictures(train: SegmentationDataset, val: SegmentationDataset) -> None:
    """Warn of files that are in both splits; copies of pictures are found by the doctor only."""
    trained = {os.path.realpath(pair.image) for pair in train.pairs}
    shared = [pair.name for pair in val.pairs if os.path.realpath(pair.image) in trained]
    if shared:
        more = f" and {len(shared) - _LISTED} more" if len(shared) > _LISTED else ""
        announce(
            f"warning: {len(shared):,} of the {counted(len(val), 'picture')} of {val.description} "
            f"{verb(len(shared), 'is', 'are')} also in the training split "
            f"({', '.join(shared[:_LISTED])}{more}): "
            "remove them from one split, because scores on them mean nothing"
        )
