"""python -m gcseg.eval: score a checkpoint."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from gcseg.config import checkpoint_config, find_checkpoint, run_command, run_folder
from gcseg.settings import plain


def evaluate(cfg: DictConfig) -> None:
    """Score a checkpoint under the modes of `cfg.tta`; print the table and merge results.json.

    Raises:
        GcsegError: A setting, the checkpoint, the data or the output folder is wrong.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg import build
    from gcseg.engine.checkpoints import check_classes
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.evaluate import evaluate as score
    from gcseg.engine.progress import RunProgress
    from gcseg.engine.results import differences, merge_results, named, print_table
    from gcseg.weights import load_weights

    checkpoint = find_checkpoint(cfg.checkpoint)
    dataset = build.dataset(cfg, cfg.split).with_labels()
    data = SegmentationData(
        dataset, build.evaluation_preprocessing(cfg), num_workers=build.worker_count(cfg)
    )
    check_classes(checkpoint, dataset.label_space)
    module = build.module(cfg, dataset.label_space.names)
    load_weights(module.model, checkpoint)
    trainer = build.trainer(cfg, callbacks=[RunProgress()])
    records = score(trainer, module, data, build.modes(cfg), split=cfg.split, checkpoint=checkpoint)
    if trainer.is_global_zero:
        results = (run_folder(checkpoint) or _own_folder(cfg, checkpoint)) / "results.json"
        apart = differences(plain(cfg), checkpoint_config(checkpoint), cfg.split)
        merge_results(results, {"evaluations": named(records, apart)})
        print_table(records, title=f"{checkpoint} on {cfg.dataset.name} {cfg.split}")
        print(f"results: {results}")


def _own_folder(cfg: DictConfig, checkpoint: Path) -> Path:
    """Where results of a checkpoint outside a run folder go; checkpoints may share a name."""
    from gcseg.engine.run import fingerprint

    return (
        Path(cfg.run_root) / f"{checkpoint.stem}-{fingerprint({'path': str(checkpoint.resolve())})}"
    )


if __name__ == "__main__":
    run_command("eval", evaluate, from_checkpoint=True)
