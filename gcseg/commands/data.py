"""python -m gcseg.data: prepare, convert, check, stats, browse and benchmark."""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, ListConfig, OmegaConf

from gcseg.commands.convert import convert
from gcseg.config.command import run_command
from gcseg.config.plain import plain
from gcseg.errors import ConfigError, DataError
from gcseg.system.files import at_home
from gcseg.system.text import counted, say

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.data.samples import TrainingSamples
    from gcseg.report.data.browse_page import BrowseSample


def main() -> None:
    """Run the action that the first argument names, with the settings after it."""
    sys.argv[1:] = sys.argv[1:] or ["--help"]
    first = sys.argv[1]
    if first in ACTIONS:
        del sys.argv[1]
        run_command("data", ACTIONS[first])
    elif first.startswith("-"):  # --help, --cfg job and similar options work without an action
        run_command("data", _no_action)
    else:
        say(f"error: {_no_such(first)}", error=True)
        sys.exit(1)


def _no_such(action: str) -> ConfigError:
    return ConfigError(
        f"gcseg.data has no action {action!r}", f"give one of {', '.join(ACTIONS)}, then settings"
    )


def _no_action(_: DictConfig) -> None:
    raise _no_such(sys.argv[1])


def prepare(cfg: DictConfig) -> None:
    """Convert files, downloaded already or now, to the form that the dataset's reader reads."""
    from gcseg.data.prepare import PREPARATIONS
    from gcseg.system.terminal import progress_bar

    name = HydraConfig.get().runtime.choices["dataset"]  # a user-defined folder may have any name
    if name not in PREPARATIONS:
        raise ConfigError(
            f"there is nothing to prepare for dataset={name}",
            f"gcseg prepares {', '.join(sorted(PREPARATIONS))}; others need no preparation",
        )
    sources = cfg.source if isinstance(cfg.source, ListConfig) else [cfg.source or ()]
    counts = PREPARATIONS[name](
        at_home(cfg.dataset.root),
        sources=[at_home(source) for source in sources if source],
        download=cfg.download,
        progress=progress_bar,
    )
    for split, count in counts.items():
        say(f"{split}: {counted(count, 'image')}")
    say(f"{name} is ready in {cfg.dataset.root}")


def check(cfg: DictConfig) -> None:
    """Find broken and wrong files; exit with status 1 if there are any."""
    from gcseg.builders import data as build_data
    from gcseg.data.check import doctor
    from gcseg.data.check.findings import print_diagnosis
    from gcseg.data.check.mask_colors import tell_of_other_colors
    from gcseg.system.files import write_json
    from gcseg.system.terminal import TextConsole, progress_bar

    used = list(dict.fromkeys(cfg.dataset.splits.values()))
    given = cfg.split if isinstance(cfg.split, ListConfig) else [cfg.split]
    read = {
        split: build_data.examined(cfg, split, labelled=split in used)
        for split in (used if cfg.split is None else given)
    }
    splits = {split: dataset for split, (dataset, _) in read.items() if dataset is not None}
    faults = {split: found for split, (_, found) in read.items()}
    if build_data.division(cfg).has_val and cfg.dataset.splits.train in read:
        faults[cfg.dataset.splits.val] = []  # those of the training split, whose part it is
    with progress_bar("checking") as progress:
        diagnosis = doctor.check(splits, faults, progress=progress)
    for dataset in splits.values():
        tell_of_other_colors(dataset)
    report = _output(cfg) / "check.json"
    write_json(report, {"root": str(cfg.dataset.root), **diagnosis.as_dict()})
    say(report, "")
    print_diagnosis(diagnosis, TextConsole())
    if not diagnosis.ok or (cfg.fail_on == "warning" and diagnosis.findings):
        raise DataError(
            f"{cfg.dataset.name} in {cfg.dataset.root} has errors", "fix what is listed above"
        )


def stats(cfg: DictConfig) -> None:
    """Measure means, sizes and class balance of a split, and suggest class weights."""
    from gcseg.builders import data as build_data
    from gcseg.data.check.survey import Survey, tell
    from gcseg.data.statistics import measure, print_statistics
    from gcseg.report.data.plots import write_plots
    from gcseg.system.files import write_json
    from gcseg.system.terminal import TextConsole, progress_bar

    dataset = build_data.cached(cfg, build_data.dataset(cfg, _split(cfg)))
    with progress_bar("measuring") as progress:
        statistics = measure(dataset, progress=progress)
    print_statistics(statistics, TextConsole())
    if (found := statistics.classes) is not None:
        tell(
            Survey(
                dataset.description,
                dataset.label_space,
                found.pixels,
                found.ignored,
                found.images,
                len(dataset),
            )
        )
    folder = _output(cfg) / _split(cfg)
    report = folder / "statistics.json"
    write_json(report, statistics.as_dict())
    say(report)
    for path in write_plots(statistics, folder, f"{cfg.dataset.name} {_split(cfg)}"):
        say(path)


def _split(cfg: DictConfig) -> str:
    """Name of the only split that an action uses.

    Raises:
        ConfigError: Several splits are given.
    """
    if isinstance(cfg.split, ListConfig):
        raise ConfigError(f"split={cfg.split}", "give one; only check takes several")
    return str(cfg.split or cfg.dataset.splits.train)


def _output(cfg: DictConfig) -> Path:
    return Path(cfg.output or Path(cfg.run_root) / "data" / cfg.dataset.name)


def browse(cfg: DictConfig) -> None:
    """Write a page of training samples as the network gets them."""
    from gcseg.builders import data as build_data
    from gcseg.data.samples import TrainingSamples
    from gcseg.data.sampling import StepSampler
    from gcseg.report.data.browse import write_pages

    files = build_data.dataset(cfg, _split(cfg)).with_labels()
    rare = build_data.sampling(cfg, files)
    samples = TrainingSamples(
        build_data.cached(cfg, files),
        build_data.training_augmentation(cfg, files),
        cfg.seed,
        rare.get("rare"),
    )
    sampler = StepSampler(len(files), 1, seed=cfg.seed, repeats=rare.get("repeats"))
    drawn = (
        _as_seen(cfg, samples, *sampler.key(counter))
        for counter in range(cfg.first, cfg.first + cfg.count)
    )
    title = f"{cfg.dataset.name} {_split(cfg)}: samples {cfg.first} to {cfg.first + cfg.count - 1}"
    for path in write_pages(drawn, files.label_space, _output(cfg) / _split(cfg), title=title):
        say(path)


def _as_seen(cfg: DictConfig, samples: TrainingSamples, counter: int, index: int) -> BrowseSample:
    """Make a sample as the network gets it, with its normalisation undone."""
    import torch

    from gcseg.data.images import displayed
    from gcseg.data.samples import collate
    from gcseg.report.data.browse_page import BrowseSample

    batch = collate([samples[counter, index]])
    if samples.pipeline.device is not None:
        batch = samples.pipeline.device(batch)
    mean, std = (torch.tensor(cfg.normalize[key]).view(-1, 1, 1) for key in ("mean", "std"))
    image = batch["image"][0] * std + mean
    if samples.dataset.pictures.scale is None:
        image = (image * 255).round().clamp(0, 255).byte()
    original_image, original_label = samples.dataset.read(index)
    return BrowseSample(
        name=samples.dataset.pairs[index].name,
        counter=counter,
        image=displayed(image.permute(1, 2, 0).numpy()),
        label=batch["label"][0].numpy(),
        original_image=displayed(original_image),
        original_label=original_label,
    )


def benchmark(cfg: DictConfig) -> None:
    """Time each setting of cache and device, and plain albumentations for comparison."""
    from gcseg.builders import data as build_data
    from gcseg.data.benchmark import print_rates
    from gcseg.data.cache.files import writing
    from gcseg.system.files import write_json

    files = build_data.dataset(cfg, _split(cfg)).with_labels().first(cfg.benchmark.images)
    place = build_data.cache_folder(cfg)
    with writing(place):
        place.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="benchmark-", dir=place) as cache_folder:
        rates = _rates(_with(cfg, "dataset.cache_folder", cache_folder), files)
    print_rates(rates)
    report = _output(cfg) / "benchmark.json"
    write_json(report, rates)
    say(report)


def _rates(cfg: DictConfig, files: SegmentationDataset) -> dict[str, Any]:
    from gcseg.builders import data as build_data
    from gcseg.data.benchmark import measure_all
    from gcseg.data.samples import TrainingSamples

    samples = {}
    for cache in ("none", "ram", "disk"):
        read = build_data.cached(_with(cfg, "dataset.cache", cache), files)
        for place in ("cpu", "device"):
            pipeline = build_data.training_augmentation(_with(cfg, "augment_on", place), files)
            samples[cache, place] = TrainingSamples(read, pipeline, cfg.seed)
    return measure_all(
        files,
        samples,
        **plain(cfg.dataset.crop),
        **plain(cfg.normalize),
        **{key: value for key, value in plain(cfg.benchmark).items() if key != "images"},
        prefetch=cfg.prefetch,
        batch_size=cfg.batch_size,
    )


def _with(cfg: DictConfig, key: str, value: Any) -> DictConfig:
    changed = cfg.copy()
    OmegaConf.update(changed, key, value)
    return changed


ACTIONS = {
    "prepare": prepare,
    "convert": convert,
    "check": check,
    "stats": stats,
    "browse": browse,
    "benchmark": benchmark,
}
