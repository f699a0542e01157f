"""python -m gcseg.train: train, then score the best checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from gcseg import catalogue
from gcseg.config import is_multirun, run_command
from gcseg.errors import ConfigError, WeightsError
from gcseg.files import sha256_of
from gcseg.settings import plain
from gcseg.trained import find_checkpoint, recorded_config

if TYPE_CHECKING:
    from gcseg.data.datasets import SegmentationDataset
    from gcseg.models import Segmentor


def train(cfg: DictConfig) -> None:
    """Train what the configuration says and score it under the modes of `cfg.tta`.

    A training that was interrupted goes on from its last checkpoint; one that is finished is
    only scored.

    Raises:
        GcsegError: A setting, the data or the output folder is wrong.
    """
    # Heavy imports wait until the settings are known to be right.
    import pytorch_lightning as L

    from gcseg import build, build_data
    from gcseg.engine import run
    from gcseg.engine.checkpoints import RunRecord, ValidateAtEnd, checkpoint_callbacks
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.evaluate import evaluate
    from gcseg.engine.finite_loss import FiniteLoss
    from gcseg.engine.lock import hold, remove_leftovers
    from gcseg.engine.metrics_csv import MetricsCSV
    from gcseg.engine.progress import RunProgress
    from gcseg.engine.results import merge_results, named, print_table, read_results
    from gcseg.engine.resume import resume_from
    from gcseg.engine.step_seed import StepSeed
    from gcseg.weights import load_weights

    images_per_pass = build.images_per_pass(cfg)
    if cfg.batch_size > images_per_pass * cfg.accumulate and is_multirun():
        raise ConfigError(
            f"devices={cfg.devices} num_nodes={cfg.num_nodes} in a multirun",
            "run each training by itself, or use one device per job",
        )
    L.seed_everything(cfg.seed, workers=True, verbose=False)
    splits = cfg.dataset.splits
    train_set = build_data.dataset(cfg, splits.train).with_labels()
    val_set = build_data.dataset(cfg, splits.val).with_labels()
    train_pipeline = build_data.training_augmentation(cfg, train_set)
    module = build.module(cfg, train_set.label_space.names)
    module.configure_optimizers()  # its settings are wrong before a run folder is made, not after
    modes = build.modes(cfg)

    weights = starting_weights(cfg)
    name = run_name(cfg, train_set, weights)

    folder = run.choose_folder(Path(cfg.run_root), name, cfg.fresh)
    with hold(folder.path):
        remove_leftovers(folder)
        config = plain(cfg)
        finished = "training" in read_results(folder.results)
        training: dict[str, Any] = {}
        if not finished:
            training = {
                "train": build_data.cached(cfg, train_set),
                "train_pipeline": train_pipeline,
                "batch_size": images_per_pass,
                **build_data.sampling(cfg, train_set),
            }
        data = SegmentationData(
            build_data.cached(cfg, val_set),
            build_data.evaluation_preprocessing(cfg),
            **training,
            seed=cfg.seed,
            num_workers=build.worker_count(cfg),
            prefetch=cfg.prefetch,
        )
        curves = MetricsCSV(folder.metrics)
        progress = RunProgress(cfg.batch_size)
        trainer = build.trainer(
            cfg,
            callbacks=[
                StepSeed(cfg.seed),
                FiniteLoss(folder.not_finite),
                progress,
                ValidateAtEnd(),
                RunRecord(config, train_set.label_space),
                L.callbacks.LambdaCallback(
                    on_train_start=lambda trainer, _: curves.continue_from(trainer.global_step)
                ),
                *checkpoint_callbacks(folder.checkpoints),
            ],
            loggers=[] if finished else [curves, *build.loggers(cfg, folder.path, config)],
            max_steps=cfg.iters,
            max_epochs=-1,
            accumulate_grad_batches=cfg.accumulate,
            val_check_interval=cfg.val_every * cfg.accumulate,
            check_val_every_n_epoch=None,
            log_every_n_steps=cfg.log_every,
            default_root_dir=folder.path,
            extra=plain(cfg.trainer),
        )
        if not finished:
            checkpoint = resume_from(folder)
            if checkpoint is None:
                skipped = load_starting_weights(module.model, weights, cfg)
                if trainer.is_global_zero:
                    print("\n".join(skipped))
            run.describe(folder, config)
            resumed = None if checkpoint is None else str(checkpoint)
            trainer.fit(module, data, ckpt_path=resumed, weights_only=True)
            if trainer.global_step < cfg.iters:
                raise ConfigError(
                    f"training stopped at step {trainer.global_step} of {cfg.iters}",
                    "give the same command again to continue it",
                )
            if trainer.is_global_zero:
                merge_results(
                    folder.results,
                    {
                        "name": folder.path.name,
                        "backbone": cfg.backbone.name,
                        "head": cfg.head.name,
                        "dataset": cfg.dataset.name,
                        "iters": cfg.iters,
                        "seed": cfg.seed,
                        "training": progress.summary(),
                    },
                )
        load_weights(module.model, folder.best)
        records = evaluate(trainer, module, data, modes, split=splits.val, checkpoint=folder.best)
        if trainer.is_global_zero:
            trained = recorded_config(folder.best) or config
            evaluations = named(records, config, trained, split=splits.val)
            merge_results(folder.results, {"evaluations": evaluations})
            print_table(records, title=f"{folder.path.name}, best checkpoint on {splits.val}")
            print(f"run: {folder.path}")


def starting_weights(cfg: DictConfig) -> dict[str, Path]:
    """The files that training starts from: of a whole network, or of its backbone, or none.

    Raises:
        WeightsError: There is no such file, or no such name in the catalogue.
        DownloadError: It can't be fetched.
    """
    if cfg.checkpoint is not None:  # which holds a backbone too
        return {"checkpoint": find_checkpoint(cfg.checkpoint)}
    pretrained = cfg.backbone.get("pretrained")
    return {} if pretrained is None else {"backbone": catalogue.resolve(pretrained)}


def load_starting_weights(
    model: Segmentor, weights: Mapping[str, Path], cfg: DictConfig
) -> list[str]:
    """Load what training starts from.

    Returns:
        Lines for the user: what was loaded, and what starts from random weights.

    Raises:
        WeightsError: The weights do not fit the network.
    """
    from gcseg.weights import load_backbone, load_weights

    lines = []
    for part, path in weights.items():
        if part == "backbone":
            load_backbone(model.backbone, path)
            lines.append(f"backbone: weights of {path}")
        else:
            skipped = load_weights(model, path, strict=cfg.strict, other_classes=True)
            lines.append(f"network: weights of {path}")
            lines += [f"not loaded: {line}" for line in skipped]
        lines += _unlike(cfg.backbone, path)
    return lines


def _unlike(backbone: DictConfig, path: Path) -> list[str]:
    """Lines on what a checkpoint's backbone is and the network's, of the same shapes, is not."""
    from gcseg.weights import describe, own_record, read_checkpoint_file

    content = read_checkpoint_file(path)
    try:
        description = describe(content.tensors, content.extra)
    except WeightsError:  # a network of the user's own
        return []
    known = {"variant": backbone.get("variant") not in description.variants}
    if own_record(content.extra):
        known = {"variant": True, "output_stride": True}
    return [
        f"note: the weights were trained with backbone.{key}={description.backbone[key]}, which "
        f"computes something else than backbone.{key}={backbone[key]}"
        for key in known
        if known[key] and key in backbone and description.backbone[key] != backbone[key]
    ]


def run_name(cfg: DictConfig, train_set: SegmentationDataset, weights: Mapping[str, Path]) -> str:
    """The name of a training, ending in a fingerprint of what decides its weights."""
    from gcseg.engine.run import fingerprint

    names = f"{cfg.backbone.name}-{cfg.head.name}-{cfg.dataset.name}"
    settings = {
        **training_settings(cfg),
        "data": _identity(train_set),
        "weights": {part: sha256_of(path) for part, path in weights.items()},
    }
    return f"{names}-{cfg.iters}it-s{cfg.seed}-{fingerprint(settings)}"


def training_settings(cfg: DictConfig) -> dict[str, Any]:
    """The settings that decide the trained weights: not where data lies or how it is scored."""
    settings = {
        key: value
        for key, value in plain(cfg).items()
        if key in ("backbone", "head", "auxiliary_head", "auxiliary_weight", "class_weights",
                   "count_ignored", "dataset", "augment", "augment_on", "sampling", "normalize",
                   "optim", "iters", "batch_size", "precision", "seed", "trainer")
    }  # fmt: skip
    settings["backbone"].pop("pretrained", None)  # the weights themselves count, not their place
    dataset = settings["dataset"]
    settings["dataset"] = {key: dataset[key] for key in ("name", "reader", "crop")}
    settings["dataset"]["split"] = dataset["splits"]["train"]
    sampling = {key: float(value) for key, value in settings["sampling"].items() if value}
    if not sampling.keys() & {"rare_crop", "copy_paste"}:
        del sampling["temperature"]  # of no effect
    settings["sampling"] = sampling
    if settings["class_weights"] is not None:
        settings["class_weights"] = [float(weight) for weight in settings["class_weights"]]
    settings["trainer"] = {
        key: value for key, value in settings["trainer"].items() if key.startswith("gradient_")
    }
    return settings


def _identity(train_set: SegmentationDataset) -> dict[str, Any]:
    """Classes and pictures of a training split, wherever it lies."""
    space = train_set.label_space
    return {
        "classes": space.names,
        "values": sorted(space.values.items()),
        "pictures": [pair.name for pair in train_set.pairs],
    }


if __name__ == "__main__":
    run_command("train", train)
