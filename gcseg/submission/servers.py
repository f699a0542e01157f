"""Rules of the datasets' test servers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gcseg.data.ade20k import ade20k_classes
from gcseg.data.datasets import Pair, SegmentationDataset
from gcseg.data.label_spaces import CITYSCAPES_LABEL_IDS, VOC, LabelSpace
from gcseg.errors import ConfigError, DataError
from gcseg.system.text import counted, printable, shown

Competition = Literal["comp5", "comp6"]

COMPETITIONS: tuple[Competition, ...] = ("comp5", "comp6")
"""Competitions of VOC's segmentation: trained on VOC 2012's trainval alone, or on any data."""

TEST_SPLITS = ("test", "testing")
"""Names of the splits that the servers score."""

_LONGEST_IN_TAR = 100
"""Most bytes of a file's name in a tar of the format that every program reads."""

_OF_CITYSCAPES = re.compile(r"([^/]+_\d{6}_\d{6})[^/]*\.png")


@dataclass(frozen=True)
class Server:
    """Rules of a test server.

    Args:
        name: Name of its dataset.
        address: Page for uploads.
        pictures: Number of pictures in the test split.
        suffix: Suffix of the archive.
        spaces: Classes of the networks that it scores, with their values in the masks.
        values: Values that masks may have.
        indexed: Whether masks have to be indexed PNGs; grey ones are taken too otherwise.
        size: Height and width of all test pictures in pixels; None where they differ.
        source: Archive that the test pictures come in.
    """

    name: str
    address: str
    pictures: int
    suffix: Literal[".zip", ".tgz"]
    spaces: tuple[LabelSpace, ...]
    values: range
    indexed: bool
    size: tuple[int, int] | None
    source: str

    def check_competition(self, competition: Competition | None) -> None:
        """Check that a competition is given for VOC only.

        Raises:
            ConfigError: Another dataset has no competitions.
        """
        if competition is not None and self.name != "voc":
            raise ConfigError(
                f"competition={competition} with dataset={self.name}, which has no competitions",
                "leave it out",
            )

    def classes(self, names: tuple[str, ...], source: object) -> LabelSpace:
        """Return the classes of a network, with the values that masks have for them.

        Args:
            names: Names of the classes that the network predicts.
            source: The checkpoint, for the message.

        Raises:
            DataError: The server scores other classes.
        """
        for space in self.spaces:
            if space.names == names:
                return space
        scored = self.spaces[0].names
        other = next((name for name in names if name not in scored), None)
        differ = "in another order" if other is None else f"such as {shown(other)}"
        if len(names) != len(scored) and other is None:
            differ = f"without {next(name for name in scored if name not in names)}"
        raise DataError(
            f"{source} predicts {len(names)} classes, {differ}; the server of {self.name} scores "
            f"{len(scored)}",
            f"give a checkpoint that was trained on the classes of dataset={self.name}",
        )

    def place(self, pair: Pair, split: str, competition: Competition | None) -> str:
        """Return the path in the archive of a picture's mask.

        Cityscapes' and ADE20k's masks have the names of their pictures and lie in no folder. VOC's
        lie in a folder that names competition and split.
        """
        if self.name == "voc":
            folder = f"{competition or 'comp6'}_{split}_cls"
            return f"results/VOC2012/Segmentation/{folder}/{pair.name}.png"
        return f"{pair.image.stem}.png"

    def picture_of(self, place: str, split: str, competition: Competition | None) -> str | None:
        """Return which picture a path in an archive is the mask of; None if of none.

        Cityscapes' evaluation looks in all folders, and for the beginning of the name alone.

        Args:
            place: Path in the archive.
            split: Split of the pictures.
            competition: Competition of the folder; None for any.
        """
        if self.name == "cityscapes":
            found = _OF_CITYSCAPES.fullmatch(place.rpartition("/")[2])
            return None if found is None else found[1]
        if self.name == "voc":
            which = competition or "|".join(COMPETITIONS)
            folder = rf"results/VOC2012/Segmentation/(?:{which})_{re.escape(split)}_cls"
            found = re.fullmatch(rf"{folder}/([^/]+)\.png", place)
            return None if found is None else found[1]
        return place.removesuffix(".png") if re.fullmatch(r"[^/]+\.png", place) else None

    def wanted(self, split: str) -> str:
        """Describe where the masks are in an archive."""
        if self.name == "cityscapes":
            return "<city>_<sequence>_<frame>*.png"
        if self.name == "voc":
            return f"results/VOC2012/Segmentation/comp6_{split}_cls/<picture>.png"
        return "<picture>.png, in no folder"

    def pictures_of(self, dataset: SegmentationDataset, split: str) -> dict[str, Pair]:
        """Return the pictures by the name that `picture_of` gives.

        Raises:
            DataError: Two would have the same mask, or the name of one is not the dataset's.
        """
        found: dict[str, Pair] = {}
        for pair in dataset.pairs:
            place = self.place(pair, split, None)
            name = self.picture_of(place, split, None)
            if self.suffix == ".tgz" and len(place.rpartition("/")[2].encode()) > _LONGEST_IN_TAR:
                raise DataError(
                    f"the name of picture {pair.image} is too long for a tar",
                    f"give it at most {_LONGEST_IN_TAR} bytes with .png",
                )
            if name is None:
                raise DataError(
                    f"picture {pair.image} is not named as {self.name} names its pictures",
                    f"take it out: the server looks for {self.wanted(split)}",
                )
            if name in found:
                raise DataError(
                    f"pictures {found[name].image} and {pair.image} would have the same mask, "
                    f"{printable(name)}.png",
                    "take one of them out",
                )
            found[name] = pair
        return found

    def check_count(self, count: int, description: str) -> None:
        """Check the number of the test split's pictures.

        Args:
            count: Number of pictures that were found.
            description: Where they are.

        Raises:
            DataError: The server scores more or fewer.
        """
        if count != self.pictures:
            raise DataError(
                f"{description} has {counted(count, 'picture')}, and the server scores "
                f"{self.pictures:,}",
                f"unpack {self.source} again, or try it with split=val",
            )


# Sources: cityscapesScripts, README.md and evaluation/evalPixelLevelSemanticLabeling.py
# (getPrediction); VOC2012 development kit, section 5.3; sceneparsing, README.md ("Submission
# format"). ADE20k's release_test.zip holds 3,352 pictures.
SERVERS: Mapping[str, Server] = {
    "cityscapes": Server(
        name="cityscapes",
        address="https://www.cityscapes-dataset.com/submit/",
        pictures=1525,
        suffix=".zip",
        spaces=(CITYSCAPES_LABEL_IDS,),
        values=range(34),
        indexed=False,
        size=(1024, 2048),
        source="leftImg8bit_trainvaltest.zip",
    ),
    "voc": Server(
        name="voc",
        address="http://host.robots.ox.ac.uk:8080/",
        pictures=1456,
        suffix=".tgz",
        spaces=(VOC,),
        values=range(21),
        indexed=True,
        size=None,
        source="VOC2012test.tar",
    ),
    "ade20k": Server(
        name="ade20k",
        address="http://sceneparsing.csail.mit.edu/eval/",
        pictures=3352,
        suffix=".zip",
        spaces=(ade20k_classes(), ade20k_classes(reduce_zero_label=False)),
        values=range(151),
        indexed=False,
        size=None,
        source="release_test.zip",
    ),
}
"""Test servers by the name of their dataset."""


def server_of(dataset: str) -> Server:
    """Return the server of a dataset.

    Raises:
        ConfigError: It has none.
    """
    if dataset not in SERVERS:
        raise ConfigError(
            f"dataset={shown(dataset)} has no test server",
            f"give dataset={' or '.join(SERVERS)}",
        )
    return SERVERS[dataset]
