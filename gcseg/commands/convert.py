"""python -m gcseg.data convert: annotations to index masks, and index masks to annotations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from gcseg.errors import ConfigError
from gcseg.system.files import at_home
from gcseg.system.text import say

if TYPE_CHECKING:
    from gcseg.data.convert.masks import Masked
    from gcseg.data.label_spaces import LabelSpace


def convert(cfg: DictConfig) -> None:
    """Convert annotations to the layout of dataset=folder (format=), or masks to a tool's (to=).

    Raises:
        GcsegError: A setting, the source or the output is wrong.
    """
    if (cfg.format is None) == (cfg.to is None):
        raise ConfigError(
            f"format={cfg.format or 'null'} and to={cfg.to or 'null'}",
            "give format= to read a tool's annotations, or to= to write masks for a tool",
        )
    if cfg.output is None:
        raise ConfigError("output=null", "give the folder that is to be written, output=my_data")
    if cfg.format is None:
        _to_tool(cfg, at_home(cfg.output))
    else:
        _from_tool(cfg, at_home(cfg.output))


def _from_tool(cfg: DictConfig, output: Path) -> None:
    from gcseg.data.convert.build import Options, build
    from gcseg.data.convert.read import read_export
    from gcseg.system.terminal import progress_bar

    source = _source(cfg)
    if source is None:
        raise ConfigError("source=null", "give the folder or file of the annotations")
    if cfg.pictures == "none":
        raise ConfigError("pictures=none", "use copy or link, as a training needs the pictures")
    images = None if cfg.images is None else at_home(cfg.images)
    classes = _listed(cfg.classes)
    read = read_export(cfg.format, source, images, output, classes)
    options = Options(output, cfg.unlabelled, cfg.pictures == "copy", cfg.overwrite)
    sources = (source, images) if images is not None else (source,)
    with progress_bar("converting") as progress:
        build(read, classes, options, sources, progress=progress, say=say)
    say(f"train with dataset=folder dataset.root={cfg.output}")


def _to_tool(cfg: DictConfig, output: Path) -> None:
    from gcseg.data.convert.write import write
    from gcseg.system.terminal import progress_bar

    masks, space, sources = _masks(cfg)
    with progress_bar("converting") as progress:
        write(
            masks,
            space,
            cfg.to,
            output,
            pictures=cfg.pictures,
            tolerance=cfg.tolerance,
            image_url=cfg.image_url,
            overwrite=cfg.overwrite,
            sources=sources,
            progress=progress,
            say=say,
        )
    say(cfg.output)


def _masks(cfg: DictConfig) -> tuple[list[Masked], LabelSpace, tuple[Path, ...]]:
    """Return the masks of a dataset, or of a folder with pictures; their classes; what is read."""
    from gcseg.builders import data as build_data
    from gcseg.data.convert.masks import mask_files, of_datasets, of_files
    from gcseg.data.datasets import images_as_dataset

    source = _source(cfg)
    if source is None:
        used = list(dict.fromkeys(cfg.dataset.splits.values()))
        names = list(cfg.split) if isinstance(cfg.split, ListConfig) else [cfg.split]
        names = used if cfg.split is None else names
        datasets = {name: build_data.dataset(cfg, name) for name in names}
        space = next(iter(datasets.values())).label_space
        return of_datasets(datasets), space, (at_home(cfg.dataset.root),)
    space, files = _classes(cfg, source), mask_files(source)
    if cfg.images is not None:
        images = at_home(cfg.images)
        pictures = images_as_dataset(images, space, say=say)
        name = "predicted" if cfg.split is None else str(cfg.split)
        return of_files(files, space, name, pictures), space, (source, images)
    name = str(cfg.split or cfg.dataset.splits.val)
    say(f"pictures: {cfg.dataset.name} {name} (split= for another, images= for a folder)")
    pictures = build_data.dataset(cfg, name)
    return of_files(files, space, name, pictures), space, (source, at_home(cfg.dataset.root))


def _classes(cfg: DictConfig, source: Path) -> LabelSpace:
    """Return the classes of a folder of masks.

    Raises:
        ConfigError: Nothing says them.
    """
    from gcseg.data.class_list import read_classes
    from gcseg.data.convert.classes import CLASS_LIST, MASKS_CLASSES, classes_of

    given = _listed(cfg.classes)
    if given is not None:
        return classes_of(given, {}, None).space
    for name in (MASKS_CLASSES, CLASS_LIST):
        if (source / name).is_file():
            return read_classes(source / name)
    raise ConfigError(
        f"{source} has no {MASKS_CLASSES}, which says what the masks' values are",
        "give classes=[road,car] in the order of the values, or a class list in YAML",
    )


def _listed(classes: Any) -> list[str] | str | None:
    """Return the names of classes, or the file of them."""
    return [*classes] if isinstance(classes, ListConfig) else classes


def _source(cfg: DictConfig) -> Path | None:
    """Return the source.

    Raises:
        ConfigError: Several are given, which only prepare takes.
    """
    if isinstance(cfg.source, ListConfig):
        raise ConfigError(f"source={cfg.source}", "give one; only prepare takes several")
    return None if cfg.source is None else at_home(cfg.source)
