"""Division of a split into parts by names and labels, the same on every machine."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gcseg.data.patterns import group_of
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import counted, shown

BoolArray = npt.NDArray[np.bool_]
Int64Array = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Division:
    """A division of the training split into pictures to train on and pictures to score.

    Args:
        val_fraction: Share of the pictures that are scored; None for no such part.
        fold: Number of the fold that is scored, from 0, and number of folds; None for no folds.
        group: Template of names: pictures whose names agree in `{group}` stay together.
        fraction: Share of the pictures to train on that is used.
        seed: Seed of the division.

    Raises:
        ConfigError: Both a share and a fold are given.
    """

    val_fraction: float | None = None
    fold: tuple[int, int] | None = None
    group: str | None = None
    fraction: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check that there is one way to divide."""
        if self.val_fraction is not None and self.fold is not None:
            raise ConfigError(
                f"dataset.val_fraction={self.val_fraction} with dataset.fold={self._fold}",
                "give one of the two",
            )

    @property
    def has_val(self) -> bool:
        """Return whether part of the training split is scored."""
        return self.val_fraction is not None or self.fold is not None

    @property
    def told(self) -> str:
        """The settings of the division, as on the command line."""
        group = "" if self.group is None else f", dataset.group={self.group}"
        if self.fold is not None:
            return f"dataset.fold={self._fold}{group}"
        return f"dataset.val_fraction={self.val_fraction}{group}"

    @property
    def _fold(self) -> str:
        return "" if self.fold is None else f"{self.fold[0]}/{self.fold[1]}"

    def parts(self, names: Sequence[str], present: BoolArray) -> tuple[list[int], list[int]]:
        """Divide a split.

        Args:
            names: Names of the pictures.
            present: Whether each class is in each picture, N x C.

        Returns:
            The indices of the pictures to train on and of those to score, both ascending; none to
            score if nothing of the training split is.

        Raises:
            DataError: The template does not fit all names, or there are too few pictures or groups.
        """
        training = np.arange(len(names))
        scored = np.empty(0, np.int64)
        if self.has_val:
            shares, place = self._shares()
            groups = _groups(names, self.group, len(shares))
            part = assign(names, groups, present, shares, self.seed)
            training, scored = np.flatnonzero(part != place), np.flatnonzero(part == place)
        if self.fraction < 1:
            rest = [names[index] for index in training.tolist()]
            shares = [self.fraction, 1 - self.fraction]
            if len(rest) > 1:
                part = assign(rest, rest, present[training], shares, self.seed)
                training = training[part == 0]
        return training.tolist(), scored.tolist()

    def _shares(self) -> tuple[list[float], int]:
        """Return the shares of all parts, and which of them is scored."""
        if self.fold is not None:
            number, count = self.fold
            return [1 / count] * count, number
        assert self.val_fraction is not None  # ensured by has_val
        return [1 - self.val_fraction, self.val_fraction], 1


def _groups(names: Sequence[str], template: str | None, parts: int) -> list[str]:
    """Return the group of each name: the name itself without a template.

    Raises:
        DataError: The template does not fit a name, or there are fewer groups than parts.
    """
    if template is None:
        if len(names) < parts:
            raise DataError(
                f"{counted(len(names), 'picture')} can't be divided into {parts} parts",
                "give fewer folds, or more pictures",
            )
        return list(names)
    groups = [group_of(template, name) for name in names]
    missing = [name for name, group in zip(names, groups, strict=True) if group is None]
    if missing:
        raise DataError(
            f"dataset.group={shown(template)} fits {len(names) - len(missing):,} of the "
            f"{len(names):,} names, and not {shown(missing[0])}",
            'write {group} for what is common, and * for the rest: "{group}_*"',
        )
    if len(set(groups)) < parts:
        raise DataError(
            f"dataset.group={shown(template)} makes {counted(len(set(groups)), 'group')} of the "
            f"names, too few for {parts} parts",
            "give fewer folds, or another template",
        )
    return [str(group) for group in groups]


def assign(
    names: Sequence[str],
    groups: Sequence[str],
    present: BoolArray,
    shares: Sequence[float],
    seed: int,
) -> Int64Array:
    """Assign pictures to parts such that each class is spread over the parts by their shares.

    The rarest class is spread first. Without groups, the parts' sizes are the shares, rounded.

    Source: Sechidis et al., "On the Stratification of Multi-Label Data", ECML PKDD 2011, with ties
    broken by a hash of the names in the place of chance.

    Args:
        names: Names of the pictures, in any order.
        groups: Group of each picture; whole groups are assigned.
        present: Whether each class is in each picture, N x C.
        shares: Share of each part; they add up to 1.
        seed: Seed of the hash.

    Returns:
        Part of each picture.
    """
    order = sorted(set(groups), key=lambda group: _hash(seed, group))
    row = {group: index for index, group in enumerate(order)}
    of_picture = np.array([row[group] for group in groups])
    sizes = np.bincount(of_picture, minlength=len(order))
    counts = np.zeros((len(order), present.shape[1]), np.int64)  # pictures with a class, by group
    np.add.at(counts, of_picture, present)
    room = _rounded(len(names), shares)  # pictures that each part lacks
    wanted = np.array(shares)[:, None] * counts.sum(0)  # pictures with a class that it lacks
    part = np.full(len(order), -1)
    filled = np.zeros(len(shares), np.int64)  # groups by part

    def put(group: int, among: npt.NDArray[np.float64]) -> None:
        # Parts with room first, then those that lack the class most, then the largest.
        if len(order) - filled.sum() <= (filled == 0).sum():  # the last, for parts without any
            open_parts = np.flatnonzero(filled == 0)
        else:
            fits = np.flatnonzero(room >= sizes[group])
            open_parts = fits if len(fits) else np.flatnonzero(room == room.max())
        best = max(open_parts, key=lambda one: (among[one], room[one], -one))
        part[group] = best
        filled[best] += 1
        room[best] -= sizes[group]
        wanted[best] -= counts[group]

    while True:
        left = part < 0
        remaining = (counts[left] > 0).sum(0)
        if not remaining.any():
            break
        rarest = min(np.flatnonzero(remaining), key=lambda one: (remaining[one], one))
        with_it = np.flatnonzero(left & (counts[:, rarest] > 0))
        for group in sorted(with_it, key=lambda one: (-counts[one, rarest], one)):
            put(int(group), wanted[:, rarest])
    for group in sorted(np.flatnonzero(part < 0), key=lambda one: (-sizes[one], one)):
        put(int(group), room.astype(np.float64))
    found: Int64Array = part[of_picture]
    return found


def _rounded(count: int, shares: Sequence[float]) -> Int64Array:
    """Divide a number by shares into whole numbers, at least 1 if there is enough for all."""
    exact = count * np.array(shares)
    whole = np.floor(exact + 1e-9).astype(np.int64)
    for one in sorted(range(len(shares)), key=lambda at: (whole[at] - exact[at], at)):
        if whole.sum() < count:
            whole[one] += 1
    while count >= len(shares) and whole.min() == 0:
        whole[whole.argmax()] -= 1
        whole[whole.argmin()] += 1
    return whole


def _hash(seed: int, text: str) -> bytes:
    return hashlib.sha256(f"{seed}\0{text}".encode()).digest()
