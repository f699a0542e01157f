"""python -m gcseg.predict: pictures and index masks from a checkpoint."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from gcseg.config import find_checkpoint, run_command, run_folder
from gcseg.errors import ConfigError


def predict(cfg: DictConfig) -> None:
    """Predict a split, or any pictures, under the one mode of `cfg.tta`.

    Raises:
        GcsegError: A setting, the checkpoint, an image or the output folder is wrong.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg import build
    from gcseg.data.datasets import images_as_dataset
    from gcseg.engine.checkpoints import check_classes, trained_classes
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.predictions import PredictionWriter
    from gcseg.engine.progress import RunProgress
    from gcseg.weights import load_weights

    if len(cfg.tta.modes) != 1:
        raise ConfigError("tta=all predicts each picture in several ways", "choose one of them")
    checkpoint = find_checkpoint(cfg.checkpoint)
    if cfg.images is None:
        dataset = build.dataset(cfg, cfg.split)
        space = dataset.label_space
        check_classes(checkpoint, space)
    else:
        space = trained_classes(checkpoint)
        dataset = images_as_dataset(Path(cfg.images), space)
    if cfg.limit is not None:
        dataset = dataset.first(cfg.limit)
    module = build.module(cfg, space.names)
    load_weights(module.model, checkpoint)
    module.set_modes(build.modes(cfg))
    output = Path(cfg.output or (run_folder(checkpoint) or checkpoint.parent) / "predictions")
    data = SegmentationData(dataset, build.evaluation_preprocessing(cfg), num_workers=1)
    trainer = build.trainer(
        cfg, callbacks=[RunProgress(), PredictionWriter(output, dataset, space)]
    )
    trainer.predict(module, data, return_predictions=False)
    print(f"{len(dataset)} predictions: {output}")
    print(f"picture: {output / 'overview.png'}")


if __name__ == "__main__":
    run_command("predict", predict, from_checkpoint=True)
