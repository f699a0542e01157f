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
_HEADERS = 200  # pictures whose headers are looked at


def check_splits(
    train: SegmentationDataset,
    val: SegmentationDataset,
    validated: Sequence[int] | None = None,
    *,
    meant_to_be_one: bool = False,
) -> None:
    """Refuse labels that can't be learnt from or scored, and report what is odd.

    Args:
        train: The split that is trained on.
        val: The split on which checkpoints are selected.
        validated: Indices of its images that training validates; None for all.
        meant_to_be_one: Whether settings name one split for both.

    Raises:
        DataError: All pixels are ignored, only one class occurs in training, or both splits are the
            same pictures though they are not meant to be.
    """
    if not meant_to_be_one and _files(train) == _files(val):
        raise DataError(
            f"all {counted(len(val), 'picture')} of {val.description} are trained on and scored: "
            "scores on them would mean nothing",
            "give dataset.val_fraction=0.1 to score a part that is not trained on, or "
            "dataset.splits.val= the name of dataset.splits.train if that is wanted",
        )
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
    tell_of_what_is_left_out(train)
    tell_of_other_colors(train)
    _tell_of_shared_pictures(train, val)
    _tell_of_shared_colours(train.label_space)


def tell_of_what_is_left_out(dataset: SegmentationDataset, told: set[str] | None = None) -> None:
    """Warn of bits and channels of pictures that are not read, of each kind by one picture.

    Looks at the headers of up to 200 pictures, evenly spread.

    Args:
        dataset: The pictures.
        told: Kinds that have been warned of, which are not again; changed in place.
    """
    told = set() if told is None else told
    if not dataset.pictures.is_usual:
        return
    looked = dataset.pairs[:: -(-len(dataset) // _HEADERS)]
    found: dict[str, list[str]] = {}
    for pair in looked:
        for kind, message, remedy in left_out(pair.image):
            found.setdefault(kind, []).append(f"{message}: {remedy}")
    for kind in found.keys() - told:
        told.add(kind)
        count = f"{len(found[kind])} of {counted(len(looked), 'picture')}"
        announce(f"warning: {found[kind][0]}" + (f" ({count})" if len(looked) > 1 else ""))


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
    trained = _files(train)
    shared = [pair.name for pair in val.pairs if os.path.realpath(pair.image) in trained]
    if shared:
        more = f" and {len(shared) - _LISTED} more" if len(shared) > _LISTED else ""
        announce(
            f"warning: {len(shared):,} of the {counted(len(val), 'picture')} of {val.description} "
            f"{verb(len(shared), 'is', 'are')} also in the training split "
            f"({', '.join(shared[:_LISTED])}{more}): "
            "remove them from one split, because scores on them mean nothing"
        )


def _files(dataset: SegmentationDataset) -> set[str]:
    return {os.path.realpath(pair.image) for pair in dataset.pairs}
