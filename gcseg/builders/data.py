"""Build datasets and their augmentation from a composed configuration."""

from __future__ import annotations

import functools
import inspect
import warnings
from pathlib import Path
from typing import Any

import albumentations as A
import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig, OmegaConf

from gcseg.config.instantiate import call, find_target, instantiate
from gcseg.config.plain import plain
from gcseg.data.augment import TrainingPipeline, evaluation_pipeline, training_pipeline
from gcseg.data.cache.cached import cached as decoded
from gcseg.data.check.doctor import read_split
from gcseg.data.class_index import class_index
from gcseg.data.crop_fit import check_crop
from gcseg.data.datasets import SegmentationDataset
from gcseg.data.divide import Division
from gcseg.data.extra import Extra, settings_of_labels
from gcseg.data.faults import FileError
from gcseg.data.images import RGB, PictureFormat
from gcseg.data.label_spaces import IGNORE_INDEX
from gcseg.data.rare import RareClasses, repeat_factors
from gcseg.data.resize import ResizeToFit
from gcseg.errors import ConfigError, DataError
from gcseg.system.files import at_home
from gcseg.system.terminal import announce, progress_bar
from gcseg.system.text import counted
from gcseg.zoo import catalogue


def picture_format(cfg: DictConfig) -> PictureFormat:
    """Form of the pictures of `cfg.dataset`; RGB where recorded settings say none."""
    settings = plain(cfg.dataset)
    scale, nodata = settings.get("scale"), settings.get("nodata")
    if scale is not None:
        least, most = scale if isinstance(scale, list) else (0, scale)
        scale = (float(least), float(most))
    return PictureFormat(
        settings.get("channels", RGB.channels), scale, None if nodata is None else float(nodata)
    )


def dataset(cfg: DictConfig, split: str) -> SegmentationDataset:
    """Read one split of `cfg.dataset`, or one part of its training split where that is divided.

    Raises:
        ConfigError: A setting is wrong.
        DataError: Files are missing or wrong, or the training split can't be divided.
    """
    source = _source(cfg, split)
    whole: SegmentationDataset = instantiate(
        cfg.dataset.reader, root=cfg.dataset.root, split=source
    )
    return _part(cfg, whole.in_form(picture_format(cfg)), split)


def _source(cfg: DictConfig, split: str) -> str:
    """Return the split whose files are read: the training split also in the place of val.

    Raises:
        ConfigError: Both splits of a divided dataset have the same name.
    """
    train, val = cfg.dataset.splits.train, cfg.dataset.splits.val
    if not division(cfg).has_val:
        return split
    if train == val:
        raise ConfigError(
            f"dataset.splits.train and dataset.splits.val are both {train}, which is divided",
            "give the part that is scored another name, as dataset.splits.val=val",
        )
    return str(train) if split == val else split


def division(cfg: DictConfig) -> Division:
    """Return how `cfg.dataset` divides its training split."""
    settings = {key: cfg.dataset.get(key) for key in ("val_fraction", "fold", "group")}
    if settings["fold"] is not None:
        number, _, count = str(settings["fold"]).partition("/")
        settings["fold"] = int(number), int(count)
    seed, fraction = cfg.dataset.get("split_seed", 0), cfg.dataset.get("fraction", 1.0)
    return Division(**settings, seed=seed, fraction=fraction)


def _part(
    cfg: DictConfig, whole: SegmentationDataset, split: str, *, checked: bool = False
) -> SegmentationDataset:
    """Return the part of the training split that `split` stands for, or another split whole.

    Args:
        cfg: The configuration.
        whole: The split whose files are read.
        split: Name of the split.
        checked: Whether labels may be wrong, as they are checked next; the division then goes by
            the names alone.

    Raises:
        DataError: The split can't be divided, or a label is wrong.
    """
    divided, splits = division(cfg), cfg.dataset.splits
    if divided.group is not None and not divided.has_val and split == splits.train:
        announce("note: dataset.group has no effect without dataset.val_fraction or dataset.fold")
    is_val = divided.has_val and split == splits.val
    if not is_val and (split != splits.train or not (divided.has_val or divided.fraction < 1)):
        return whole
    names = [pair.name for pair in whole.pairs]
    try:
        present = _present(cfg, whole)
    except FileError:
        if not checked:
            raise
        present = np.zeros((len(whole), 0), np.bool_)
    training, scored = divided.parts(names, present)
    chosen, others = (scored, training) if is_val else (training, scored)
    of = f"{len(chosen):,} of {counted(len(whole), 'picture')} of {whole.description}"
    if is_val:
        announce(f"{splits.val}: {of} ({divided.told}); the dataset's own {splits.val} is not used")
    elif divided.fraction < 1 or others:
        told = [divided.told] * divided.has_val
        told += [f"dataset.fraction={divided.fraction}"] * (divided.fraction < 1)
        announce(f"{splits.train}: {of} ({', '.join(told)})")
    return whole.part(chosen, f"{whole.description} ({split})")


def _present(cfg: DictConfig, whole: SegmentationDataset) -> npt.NDArray[np.bool_]:
    """Return whether each class is in each picture, N x C; nothing is known without labels.

    Raises:
        DataError: A label is wrong.
    """
    if not whole.has_labels:
        return np.zeros((len(whole), 0), np.bool_)
    with progress_bar("indexing classes") as progress:
        index = class_index(whole, cache_folder(cfg), progress=progress, say=announce)
    return index.counts > 0


def examined(
    cfg: DictConfig, split: str, *, labelled: bool
) -> tuple[SegmentationDataset | None, list[DataError]]:
    """Read a split of `cfg.dataset` and its faults; see `gcseg.data.check.doctor.read_split`.

    Args:
        cfg: The configuration.
        split: Name of the split.
        labelled: Whether missing labels are a fault.
    """
    source = _source(cfg, split)
    read = functools.partial(instantiate, cfg.dataset.reader, root=cfg.dataset.root, split=source)

    def read_collecting(faults: list[DataError]) -> Any:
        return read(faults=faults)

    own = inspect.signature(find_target(cfg.dataset.reader._target_)).parameters
    dataset, faults = read_split(read_collecting if "faults" in own else read)
    if dataset is not None:
        dataset = dataset.in_form(picture_format(cfg))
    if labelled and dataset is not None and not dataset.has_labels:
        faults.append(
            DataError(
                f"{dataset.description} has no labels",
                "put them where conf/dataset says, or set dataset.reader.labels=",
            )
        )
    try:
        part = dataset and _part(cfg, dataset, split, checked=True)
    except DataError as error:
        return None, [*faults, error]
    return part, faults


def training_augmentation(cfg: DictConfig, train: SegmentationDataset) -> TrainingPipeline:
    """Build the pipeline of `cfg.augment` and check that its crop fits the pictures.

    Raises:
        ConfigError: Even at the largest scale all pictures are smaller than the crop, or an extra
            transform is refused by albumentations, fails, or spoils labels.
    """
    crop, augment = plain(cfg.dataset.crop), plain(cfg.augment)
    scale = augment["scale"]
    scale["fit"] = rectangle("augment.scale.fit", scale.get("fit"))
    padded = check_crop(train, (crop["height"], crop["width"]), scale["max"], scale["fit"])
    if padded is not None:
        announce(padded)
    usual = {"_target_": "gcseg.data.colors.RandomDistort"}
    if augment["color"] and not train.pictures.is_rgb:
        announce(
            f"note: augment.color is left out, as it is for RGB of 8 bits: {train.description} has "
            f"{train.pictures}"
        )
        augment["color"] = None
    color = augment["color"] and OmegaConf.create({**usual, **augment["color"]})
    augment["color"] = color and instantiate(color)
    augment["extra"] = [_extra(cfg, name, train) for name in augment["extra"]]
    try:
        on_device = cfg.get("augment_on") == "device"
        return training_pipeline(
            **crop,
            **plain(cfg.normalize),
            **augment,
            on_device=on_device,
            pictures=train.pictures,
        )
    except ValueError as error:
        raise ConfigError(f"augment: {error}", "see conf/augment/published.yaml") from None


def _extra(cfg: DictConfig, name: str, train: SegmentationDataset) -> Extra:
    """Build one of `cfg.augment.extra`, and try it on a crop.

    Raises:
        ConfigError: It can't be built, fails on a crop, or spoils labels.
    """
    classes = train.label_space.num_classes
    fills = settings_of_labels(name, plain(cfg.augment.extra)[name], classes)
    extra = Extra(name, _transform(cfg, name), classes, fills)
    return extra.tried(cfg.dataset.crop.height, cfg.dataset.crop.width, train.pictures)


def _transform(cfg: DictConfig, name: str) -> Any:
    """Build one of `cfg.augment.extra`; albumentations only warns of unknown arguments."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            transform = _built(plain(cfg.augment.extra)[name])
    except UserWarning as error:
        raise ConfigError(f"augment.extra.{name}: {error}", "see its documentation") from None
    except ConfigError as error:
        raise ConfigError(f"augment.extra.{name}: {error.cause}", error.remedy) from None
    if not isinstance(transform, A.BasicTransform | A.BaseCompose):
        raise ConfigError(
            f"augment.extra.{name} is not an albumentations transform",
            "give {_target_: albumentations.NAME, ...}",
        )
    return transform


def _built(settings: Any) -> Any:
    """Build a transform and those nested in it, as in `albumentations.OneOf`."""
    if isinstance(settings, list):
        return [_built(one) for one in settings]
    if not isinstance(settings, dict) or "_target_" not in settings:
        return settings
    # Pixels that a rotation brings in from outside the picture have no class. Under a dropout the
    # labels stay, by the library's default None; fill_mask=255 ignores them.
    own = inspect.signature(find_target(settings["_target_"])).parameters.get("fill_mask")
    fills = own is not None and own.default is not None and "fill_mask" not in settings
    filling = {"fill_mask": IGNORE_INDEX} if fills else {}
    inside = {key: _built(value) for key, value in settings.items() if key != "_target_"}
    return call(settings["_target_"], {**filling, **inside})


def evaluation_preprocessing(cfg: DictConfig) -> Any:
    """Build the preprocessing of evaluation: normalisation and, by protocol, padding."""
    none = {"height": 0, "width": 0}
    pad = cfg.dataset.get("pad", none) if cfg.protocol.resize == "pad" else none
    return evaluation_pipeline(
        **plain(cfg.normalize),
        pad_height=pad["height"],
        pad_width=pad["width"],
        pictures=picture_format(cfg),
    )


def rectangle(key: str, sizes: Any) -> ResizeToFit | None:
    """Build a rectangle to fit images into; null, or two nulls, stand for their own size."""
    if sizes is None or sizes == {"long": None, "short": None}:
        return None
    try:
        return ResizeToFit(**sizes)
    except TypeError:
        raise ConfigError(f"{key}={sizes}", "give {long: pixels, short: pixels} or null") from None


def cached(cfg: DictConfig, dataset: SegmentationDataset) -> SegmentationDataset:
    """Read a split through the cache of `cfg.dataset.cache`, which is made if missing.

    Raises:
        OutputError: The cache has no room, or can't be written.
        DataError: A picture or a label is wrong.
    """
    with progress_bar("decoding") as progress:
        return decoded(
            dataset, cfg.dataset.cache, cache_folder(cfg), progress=progress, say=announce
        )


def cache_folder(cfg: DictConfig) -> Path:
    """Folder of the cache of decoded pictures."""
    own = cfg.dataset.cache_folder
    return catalogue.cache_folder() / "decoded" if own is None else at_home(own)


def sampling(cfg: DictConfig, train: SegmentationDataset) -> dict[str, Any]:
    """Arguments `repeats` and `rare` of the data module for `cfg.sampling`, if any.

    Raises:
        DataError: A label is wrong.
        OutputError: The class index can't be written.
    """
    settings = plain(cfg.sampling)
    threshold, temperature = settings.pop("repeat_threshold"), settings.pop("temperature")
    if not threshold and not any(settings.values()):
        return {}
    with progress_bar("indexing classes") as progress:
        index = class_index(train, cache_folder(cfg), progress=progress, say=announce)
    crop, paste = settings["rare_crop"], settings["copy_paste"]
    return {
        "repeats": repeat_factors(index, threshold) if threshold else None,
        "rare": RareClasses(index, crop, paste, temperature) if crop or paste else None,
    }
