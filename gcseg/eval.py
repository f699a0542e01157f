"""python -m gcseg.eval: score a checkpoint."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig

from gcseg.config import checkpoint_config, find_checkpoint, run_command, run_folder


def evaluate(cfg: DictConfig) -> None:
    """Score a checkpoint under the modes of `cfg.tta`; print the table and merge results.json.

    Raises:
        GcsegError: A setting, the checkpoint, the data or the output folder is wrong.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg import build
    from gcseg.engine.data import SegmentationData
    from gcseg.engine.evaluate import evaluate as score
    from gcseg.engine.progress import RunProgress
    from gcseg.engine.results import merge_results, named, print_table
    from gcseg.weights import load_weights

    checkpoint = find_checkpoint(cfg.checkpoint)
    dataset = build.dataset(cfg, cfg.split).with_labels()
    data = SegmentationData(
        dataset, build.evaluation_preprocessing(cfg), num_workers=build.worker_count(cfg)
    )
    module = build.module(cfg, dataset.label_space.names)
    load_weights(module.model, checkpoint)
    trainer = build.trainer(cfg, callbacks=[RunProgress()])
    records = score(trainer, module, data, build.modes(cfg), split=cfg.split, checkpoint=checkpoint)
    if trainer.is_global_zero:
        folder = run_folder(checkpoint) or Path(cfg.run_root) / checkpoint.stem
        results = folder / "results.json"
        trained_on = checkpoint_config(checkpoint).get("dataset", {}).get("name")
        names = named(
            records,
            split=None if cfg.split == cfg.dataset.splits.val else cfg.split,
            dataset=None if cfg.dataset.name == trained_on else cfg.dataset.name,
        )
        merge_results(results, {"evaluations": names})
        print_table(records, title=f"{checkpoint} on {cfg.dataset.name} {cfg.split}")
        print(f"results: {results}")


if __name__ == "__main__":
    run_command("eval", evaluate, from_checkpoint=True)
