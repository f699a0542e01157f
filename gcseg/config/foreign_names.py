"""Names that settings have in other frameworks, with what to write here.

They are those of ultralytics, mmsegmentation, PaddleSeg, segmentation_models.pytorch, timm and
Lightning. In a remedy, `{0}` stands for the value that was given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from gcseg.config.command_line import given
from gcseg.config.row import Row
from gcseg.errors import ConfigError

_CROP = "write dataset.crop.height={0} dataset.crop.width={0} for the crops of training"
_WEIGHTS = (
    "write checkpoint={0} for the weights of a whole network, backbone.pretrained={0} for those of "
    "a backbone"
)
_PRETRAINED = (
    "write backbone.pretrained= with a file or a name of gcseg.weights list, or with backbone=timm "
    "backbone.pretrained=true; checkpoint= begins with a whole network"
)
_BACKBONE = "write backbone=r50, or with backbone=timm backbone.model={0}; --help lists the options"
_RESUME = "give the same command again: an interrupted training resumes"
_FOLDER = "write run_root={0}; the run's folder in it is named by the settings"
_DEVICES = (
    "write accelerator=gpu devices=1, or accelerator=cpu; CUDA_VISIBLE_DEVICES says which GPUs "
    "there are"
)
_HALF = "write precision=bf16-mixed, or on a GPU precision=16-mixed"
_FILES = "write settings after the command, as iters=2000; --config-dir names a folder of yours"
_NETWORK = "write backbone=r50 head=gc; --help lists the options of both"
_DECAY = (
    "leave it out: the learning rate has a polynomial decay, which optim.power= and optim.end_lr= "
    "change"
)
_CLASSES = "leave it out: the classes are those of the dataset, as its classes.yaml lists them"

TRAINING: Mapping[str, str] = {
    **dict.fromkeys(("imgsz", "img_size", "image_size", "input_size", "crop_size", "size"), _CROP),
    **dict.fromkeys(("weights", "load_from", "pretrained", "ckpt", "pretrained_model"), _WEIGHTS),
    **dict.fromkeys(("resume", "resume_from", "resume_model", "ckpt_path", "auto_resume"), _RESUME),
    **dict.fromkeys(
        ("work_dir", "save_dir", "out_dir", "output_dir", "exp_dir", "name", "exp_name"), _FOLDER
    ),
    "project": "write run_root={0}, or with logger=wandb logger.project={0}",
    **dict.fromkeys(
        ("device", "gpu", "gpus", "gpu_ids", "num_gpus", "nproc_per_node", "launcher"), _DEVICES
    ),
    **dict.fromkeys(("amp", "fp16", "half", "bf16", "use_amp"), _HALF),
    **dict.fromkeys(("cfg_options", "options", "opts", "config", "cfg"), _FILES),
    **dict.fromkeys(("model", "arch", "architecture", "model_name"), _NETWORK),
    **dict.fromkeys(("encoder", "encoder_name", "backbone_name"), _BACKBONE),
    "encoder_weights": _WEIGHTS,
    "encoder_depth": "leave it out: a backbone has four stages",
    **dict.fromkeys(("decoder", "decode_head", "decoder_name"), "write head=gc or head=fcn"),
    **dict.fromkeys(
        ("data", "data_dir", "data_path"),
        "write dataset=folder dataset.root=my_data, as docs/datasets.md says",
    ),
    **dict.fromkeys(("data_root", "dataset_root", "img_dir"), "write dataset.root={0}"),
    **dict.fromkeys(("num_classes", "nc", "n_classes", "class_names"), _CLASSES),
    "ignore_index": "write ignore: [{0}] in classes.yaml of your own data; 255 is ignored anyway",
    **dict.fromkeys(
        ("batch", "bs", "samples_per_gpu", "batch_size_per_gpu", "train_batch_size"),
        "write batch_size={0}, of all devices together",
    ),
    **dict.fromkeys(
        ("epoch", "max_epochs", "num_epochs", "n_epochs", "total_epochs"), "write epochs={0}"
    ),
    **dict.fromkeys(
        ("max_iters", "max_steps", "steps", "num_steps", "total_iters", "iterations"),
        "write iters={0}",
    ),
    **dict.fromkeys(
        ("workers", "n_workers", "workers_per_gpu", "num_worker"), "write num_workers={0}"
    ),
    **dict.fromkeys(("lr", "lr0", "learning_rate", "base_lr", "initial_lr"), "write optim.lr={0}"),
    "lrf": "write optim.end_lr=, a learning rate and no fraction of the first",
    **dict.fromkeys(
        ("lr_scheduler", "scheduler", "schedule", "cos_lr", "lr_config", "lr_policy"), _DECAY
    ),
    **dict.fromkeys(
        ("warmup", "warmup_epochs", "warmup_steps"), "write optim.warmup_iters=, in optimizer steps"
    ),
    **dict.fromkeys(("optimizer", "opt", "optim_wrapper"), "write optim=sgd or optim=adamw"),
    "backbone_lr": "write optim.backbone_lr_factor=0.1, as a fraction of optim.lr",
    "layerwise_decay": "write optim.layer_decay={0}",
    **dict.fromkeys(
        ("freeze", "frozen_stages", "freeze_encoder", "freeze_backbone"),
        "write backbone.freeze=stem, 1 to 4 for so many stages with it, or all",
    ),
    **dict.fromkeys(
        ("early_stop", "early_stopping", "early_stopping_patience"),
        "write patience=5, in validations, and monitor=",
    ),
    **dict.fromkeys(
        ("fast_dev_run", "dry_run", "debug"),
        "write quick=true: two steps and two pictures through all stages",
    ),
    **dict.fromkeys(("limit_val_batches", "val_limit"), "write limit_val={0}"),
    **dict.fromkeys(
        ("val_interval", "eval_interval", "val_check_interval", "save_interval", "save_period"),
        "write val_every=, in optimizer steps; each validation saves",
    ),
    **dict.fromkeys(("log_interval", "log_iters", "log_every_n_steps"), "write log_every={0}"),
    **dict.fromkeys(("loss_type", "criterion"), "write loss=ce_dice; docs/losses.md has them all"),
    "keep_checkpoint_max": "leave it out: the best and the last checkpoint are kept",
    **dict.fromkeys(
        ("accumulate_grad_batches", "gradient_accumulation_steps", "accum_iter"),
        "write accumulate={0}; batch_size stays that of a step",
    ),
    **dict.fromkeys(
        ("grad_clip", "clip_grad", "gradient_clip", "gradient_clip_val", "max_norm"),
        "write +trainer.gradient_clip_val={0}",
    ),
    "deterministic": "write +trainer.deterministic={0}",
    **dict.fromkeys(("wandb", "use_wandb"), "write logger=wandb"),
    **dict.fromkeys(("tensorboard", "use_vdl", "visualizer"), "write logger=tensorboard"),
    **dict.fromkeys(("aug_test", "multi_scale", "flip_test"), "write tta=msflip or tta=flip"),
    **dict.fromkeys(("sync_bn", "sync_batchnorm"), "leave it out: several devices always do it"),
    "exist_ok": "leave it out: a training given again is resumed in its folder",
    "do_eval": "leave it out: training validates every val_every= steps",
}
"""Remedies for `gcseg.train` and `gcseg.data`, by the foreign name."""

USE: Mapping[str, str] = {
    **dict.fromkeys(
        ("model", "ckpt", "ckpt_path", "load_from", "model_path", "resume"), "write checkpoint={0}"
    ),
    **dict.fromkeys(("input", "image_path", "img_path"), "write source={0}"),
    **dict.fromkeys(("save_dir", "out_dir", "output_dir", "out"), "write output={0}"),
    **dict.fromkeys(("data", "data_root", "data_dir", "dataset_root"), "write dataset.root={0}"),
    **dict.fromkeys(("device", "gpu", "gpus", "gpu_ids"), _DEVICES.replace(" devices=1", "")),
    **dict.fromkeys(("aug_test", "multi_scale", "flip_test"), "write tta=msflip or tta=flip"),
}
"""Remedies for the commands that use a trained network, by the foreign name."""


_WITHIN = ("data", "dataset", "model", "backbone", "optim", "optimizer", "train", "training",
           "trainer")  # fmt: skip
"""Groups in whose settings a foreign name is looked for too."""

_OFF = ("false", "none", "null")
_SUGGESTED = re.compile(r"([\w.]+)=(\{0\})?")


def remedy_for(name: str, value: str, command: str, rows: Iterable[Row]) -> str | None:
    """Return what to write in the place of another framework's setting.

    Args:
        name: Name that was given; a dash counts as an underscore.
        value: Value that was given, or nothing.
        command: The command's primary configuration.
        rows: Rows of the command's settings.

    Returns:
        The remedy; None where the name is unknown, or the command has nothing like it.
    """
    names = TRAINING if command in ("train", "data") else USE
    remedy = names.get(_foreign(name.replace("-", "_").lower()))
    if remedy is None:
        return None
    if remedy == _WEIGHTS and not re.search(r"[/.]", value):
        remedy = _PRETRAINED
    settings = {row.name: row for row in rows}
    if "source" not in settings:  # as of gcseg.attention
        remedy = remedy.replace("source=", "images=")
    suggested = {found[1]: found[2] is not None for found in _SUGGESTED.finditer(remedy)}
    if not suggested.keys() <= settings.keys():
        return None
    if value.lower() in _OFF and "{0}" not in remedy and not remedy.startswith("leave"):
        return f"leave it out; where it is wanted, {remedy}"
    plain = re.fullmatch(r"[\w./:@%~+-]+", value) is not None
    fits = all(_fits(settings[name], value) for name, filled in suggested.items() if filled)
    return remedy.format(value if plain and fits else "...")


def _foreign(name: str) -> str:
    """Return the part of a name that may be foreign, as "scheduler" of "optim.scheduler"."""
    group, _, last = name.partition(".")
    return last if group in _WITHIN and last not in ("", "name") else name


def _fits(row: Row, value: str) -> bool:
    """Return whether a setting may have a value of a command line."""
    try:
        read = given([f"value={value}"], "value")
    except ConfigError:
        return False
    if row.kind == "whole number" and isinstance(read, float) and read.is_integer():
        read = int(read)
    return row.takes(read)
