"""Survey the labels of a split before a network is trained on them or selected by them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcseg.data.datasets import SegmentationDataset
from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.data.parallel import in_parallel
from gcseg.data.reading import count_values
from gcseg.errors import DataError
from gcseg.system.launch import is_first_process
from gcseg.system.terminal import announce
from gcseg.system.text import counted, listed, say, verb

MOST_LABELS = 200
"""Number of labels surveyed, evenly spread; 2 s for 2048x1024 pixels on two cores."""
LARGE_SHARE = 0.5
"""Share of ignored pixels that is unusual; Cityscapes ignores an eighth, VOC a twentieth."""


@dataclass(frozen=True)
class Survey:
    """Pixel counts of some labels of a split.

    Args:
        place: Location of the labels.
        space: Meaning of the labels' values.
        pixels: Number of pixels of each of the C classes.
        ignored: Number of ignored pixels.
        looked_at: Number of surveyed labels.
        labels: Number of labels in the split.
    """

    place: str
    space: LabelSpace
    pixels: tuple[int, ...]
    ignored: int
    looked_at: int
    labels: int

    @property
    def whole(self) -> bool:
        """Return whether all labels were surveyed."""
        return self.looked_at == self.labels

    @property
    def where(self) -> str:
        """Return the surveyed labels in words."""
        few = "the" if self.whole else f"{self.looked_at:,} of"
        return f"{few} {counted(self.labels, 'label')} of {self.place}"

    @property
    def ignored_share(self) -> float:
        """The fraction of the pixels that are ignored."""
        return self.ignored / max(1, self.ignored + sum(self.pixels))

    @property
    def absent(self) -> tuple[str, ...]:
        """The classes that no pixel has."""
        return tuple(name for name, n in zip(self.space.names, self.pixels, strict=True) if not n)

    @property
    def occurring(self) -> tuple[str, ...]:
        """The classes that some pixel has."""
        return tuple(name for name, n in zip(self.space.names, self.pixels, strict=True) if n)

    @property
    def loud(self) -> bool:
        """Return whether `doubts` make scores worthless, and are more than a note."""
        return self.ignored_share > LARGE_SHARE or len(self.occurring) == 1

    def wrong(self) -> DataError | None:
        """Return the error if nothing can be learnt or scored from these labels; None otherwise."""
        if not self.occurring:
            return DataError(
                f"all pixels of {self.where} are ignored", self._remedy(self.space.names)
            )
        if len(self.occurring) == 1 and self.whole and self.ignored:
            return DataError(self._only_one(), self._remedy(self.absent))
        return None

    def doubts(self) -> list[tuple[str, str]]:
        """Return the cause and the remedy of each likely mistake."""
        if len(self.occurring) == 1:
            return [(self._only_one(), self._remedy(self.absent))]
        # A rare class may be missing in a part of the labels.
        if self.absent and self.whole:
            cause = (
                f"{len(self.absent)} of {len(self.pixels)} classes ({listed(self.absent)}) "
                f"{verb(len(self.absent), 'never occurs', 'never occur')} in {self.where}, "
                f"{self._share()}"
            )
            return [(cause, self._remedy(self.absent))]
        if self.ignored_share > LARGE_SHARE:
            cause = f"much is ignored in {self.where}, {self._share()}"
            return [(cause, self._remedy(self.absent))]
        return []

    def _only_one(self) -> str:
        name = self.occurring[0]
        return (
            f"only class {name} occurs in {self.where}, {self._share()}; a network that always "
            f"predicts {name} would have an mIoU of 100 %"
        )

    def _share(self) -> str:
        return f"in which {100 * self.ignored_share:.1f} % of the pixels are ignored"

    def _remedy(self, classes: Sequence[str]) -> str:
        """Return what to check.

        Args:
            classes: Classes that the ignored pixels may be meant to have.
        """
        if self.space.key is not None:
            return "check that the masks have the colours of the class list"
        check = "check that the labels have the values of the class list"
        if not self.ignored or not classes or IGNORE_INDEX in self.space.values:
            return check
        if self.space.ignored:  # which of them and 255 occurs is not known, or 255 is meant
            values = ", ".join(map(str, self.space.ignored_values))
            return f"{check}; ignored: {values}"
        if len(classes) == 1:
            return (
                f"if {IGNORE_INDEX}, which is ignored, means {classes[0]}, write "
                f"{{name: {classes[0]}, value: {IGNORE_INDEX}}} in the class list"
            )
        return (
            f"if {IGNORE_INDEX}, which is ignored, means a class, give the class "
            f"value: {IGNORE_INDEX} in the class list"
        )


def tell(seen: Survey, *, notes: bool = True) -> None:
    """Report on a command's outputs what is odd about labels.

    Args:
        seen: Survey of the labels.
        notes: Whether to report also what may be intended.
    """
    error = seen.wrong()
    for cause, remedy in seen.doubts() if error is None else [(error.cause, error.remedy)]:
        if error is not None or seen.loud:
            announce(f"warning: {cause}: {remedy}")
        elif notes and is_first_process():
            say(f"note: {cause}: {remedy}")


def survey(dataset: SegmentationDataset, most: int = MOST_LABELS) -> Survey:
    """Survey labels of a split.

    Args:
        dataset: The split, with labels.
        most: Largest number of surveyed labels; if there are more, they are evenly spread.

    Raises:
        DataError: A label can't be read.
    """
    indices = np.unique(np.linspace(0, len(dataset) - 1, min(most, len(dataset))).astype(int))
    counts = np.zeros(256, np.int64)
    for pixels in in_parallel(functools.partial(_pixels, dataset), indices.tolist()):
        counts += pixels
    space = dataset.label_space
    by_class = tuple(counts[: space.num_classes].tolist())
    ignored = int(counts[IGNORE_INDEX])
    return Survey(dataset.labels_description, space, by_class, ignored, len(indices), len(dataset))


def _pixels(dataset: SegmentationDataset, index: int) -> npt.NDArray[np.int64]:
    label = dataset.read_label(index)
    return np.zeros(256, np.int64) if label is None else count_values(label)
