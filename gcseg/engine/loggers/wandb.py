"""A training as a run of Weights & Biases: curves, pictures, tables, checkpoints, report."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import WandbLogger
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor

from gcseg.data.label_spaces import IGNORE_INDEX, LabelSpace
from gcseg.engine.callbacks.panel import ERRORS, PanelImage, encoded, of_one_size
from gcseg.engine.checkpoints import read_checkpoint
from gcseg.engine.loggers.wandb_credentials import has_credentials
from gcseg.runs.folder import RunFolder
from gcseg.runs.shown import shown_curves
from gcseg.system.terminal import announce

if TYPE_CHECKING:
    from wandb import Settings, Table
    from wandb.plot.custom_chart import CustomChart

STEP = "trainer/global_step"
"""Metric on the x axis of all curves, with the name that Lightning's own logger gives it."""

SECONDS_TO_START = 20.0
"""Time limit for starting a run on the server; W&B looks up the user before, for up to 10 s."""

SECONDS_TO_FINISH = 60.0
"""Seconds that the end of a training may wait for pending uploads."""

SECONDS_TO_UPLOAD = 600.0
"""Seconds that it may wait if checkpoints are uploaded."""

LARGEST_REPORT = 100 * 2**20
"""Largest report that is uploaded to W&B, in bytes."""

MOST_CLASSES = 100
"""Classes up to which a confusion matrix is a plot, of at most 10,000 cells; above, a table."""

MOST_CONFUSIONS = 1000
"""Rows of that table."""

ARTIFACT_NAME = 128
"""Largest number of characters in the name of a W&B artifact."""


class WandbRunLogger(WandbLogger):
    """Logs to W&B, offline where there is no key or no network, so that nothing hangs a job.

    The run has the id of the training, so that a resumed training continues its curves. What W&B
    refuses is reported and does not end a training: the run folder has all of it.

    Args:
        folder: Run folder, which also holds W&B's files; its name becomes the run's.
        config: The resolved configuration.
        project: W&B project.
        entity: W&B user or team; your default one if None.
        group: Name of a group of related runs.
        tags: Labels to search runs by.
        checkpoints: Whether checkpoints are uploaded.
    """

    def __init__(
        self,
        folder: Path,
        config: dict[str, Any],
        *,
        project: str,
        entity: str | None = None,
        group: str | None = None,
        tags: Sequence[str] = (),
        checkpoints: bool = False,
    ) -> None:
        folder = folder.absolute()
        super().__init__(name=folder.name, id=run_id(folder.name), save_dir=folder, project=project)
        self.folder = RunFolder(folder)
        self.checkpoints = checkpoints
        self._arguments: dict[str, Any] = {
            "dir": str(folder),
            "name": folder.name,
            "config": config,
            "group": group,
            "tags": list(tags),
            "resume": "allow",
        }
        if "WANDB_SWEEP_ID" not in os.environ:  # W&B's agent has chosen these for its sweep
            self._arguments |= {"id": run_id(folder.name), "project": project, "entity": entity}
        self._told: set[str] = set()
        self._own_variables: list[str] = []

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, begun on first use; a dummy in all processes but the first."""
        if self._experiment is None:
            self._experiment = self._begin()
        return self._experiment

    def _begin(self) -> Any:
        """Begin the run: online if it can be, else offline."""
        import wandb

        if wandb.run is not None:  # the previous job's in a multirun, which would get this one's
            wandb.finish()
        self._keep_files_here()
        mode = os.environ.get("WANDB_MODE")
        if mode != "disabled" and self._arguments["config"].get("quick"):
            mode = "offline"  # no run of the project
        if mode not in ("offline", "dryrun", "disabled") and not has_credentials():
            if mode is not None:
                announce(f"W&B has no API key for WANDB_MODE={mode}, and stays offline")
            else:
                announce("W&B has no API key and stays offline: wandb sync sends the run later")
            mode = "offline"
        folders = set(self._online_folders())
        try:
            run = wandb.init(**self._arguments, mode=mode, settings=self._settings())  # type: ignore[arg-type]
        except Exception as error:
            announce(f"W&B stays offline ({_in_short(error)}): send the run with wandb sync later")
            wandb.teardown()  # or the service would keep the id in use
            for left in set(self._online_folders()) - folders:  # of the failed attempt, all empty
                shutil.rmtree(left, ignore_errors=True)
            run = self._begin_offline()
        run.define_metric(STEP)
        run.define_metric("*", step_metric=STEP, step_sync=True)
        return run

    def _begin_offline(self) -> Any:
        """Begin an offline run, or a disabled one if that fails too."""
        import wandb

        try:
            return wandb.init(**self._arguments, mode="offline", settings=self._settings())
        except Exception as error:
            announce(f"warning: W&B receives nothing from this training ({_in_short(error)})")
            return wandb.init(mode="disabled")

    def _settings(self) -> Settings:
        """W&B settings with the time limits that the user has not set."""
        import wandb

        limits: dict[str, Any] = {
            "init_timeout": SECONDS_TO_START,
            "finish_timeout": SECONDS_TO_UPLOAD if self.checkpoints else SECONDS_TO_FINISH,
        }
        known = wandb.Settings.model_fields  # earlier versions can't limit the end
        return wandb.Settings(
            **{
                name: seconds
                for name, seconds in limits.items()
                if name in known and f"WANDB_{name.upper()}" not in os.environ
            }
        )

    def _keep_files_here(self) -> None:
        """Have W&B stage its files in the run folder too, unless the environment says otherwise."""
        for name, folder in (("WANDB_DATA_DIR", "staging"), ("WANDB_CACHE_DIR", "cache")):
            if name not in os.environ:
                os.environ[name] = str(self.folder.path / "wandb" / folder)
                self._own_variables.append(name)

    def _online_folders(self) -> Iterator[Path]:
        return (self.folder.path / "wandb").glob("run-*")

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers, or W&B's own objects, at a step.

        Args:
            metrics: Numbers or W&B objects by name.
            step: Optimizer step, from 0.
        """
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        with self._continuing("metrics"):
            self.experiment.log({**values, STEP: step} if step is not None else values)

    def panel_bytes(self, image: PanelImage, space: LabelSpace) -> int:
        """Size in bytes of a picture as a JPEG and its masks as PNGs."""
        masks = (image.truth, image.prediction, image.errors)
        return encoded(image.image, "JPEG") + sum(encoded(mask, "PNG") for mask in masks)

    @rank_zero_only
    def log_panel(self, images: Sequence[PanelImage], space: LabelSpace, step: int) -> None:
        """Log pictures with truth, prediction and errors as masks to overlay.

        Args:
            images: The pictures.
            space: Classes with their names.
            step: Optimizer step, from 0.
        """
        import wandb

        classes = {**dict(enumerate(space.names)), IGNORE_INDEX: "ignored"}

        def masks(image: PanelImage) -> dict[str, Any]:
            return {
                "truth": {"mask_data": image.truth, "class_labels": classes},
                "prediction": {"mask_data": image.prediction, "class_labels": classes},
                "errors": {"mask_data": image.errors, "class_labels": ERRORS},
            }

        with self._continuing("pictures"):
            pictures = [
                wandb.Image(one.image, caption=one.name, masks=masks(one), file_type="jpg")
                for one in of_one_size(images)
            ]
            self.experiment.log({"val/panel": pictures, STEP: step})

    @rank_zero_only
    def log_evaluations(
        self,
        evaluations: Mapping[str, Mapping[str, Any]],
        matrices: Mapping[str, Tensor],
        class_names: Sequence[str],
        step: int,
    ) -> None:
        """Log the table of class IoUs, and a confusion matrix of each mode.

        Args:
            evaluations: Records of results.json by mode.
            matrices: Confusion matrices by mode, classes x classes, a row for each true class.
            class_names: Names of the classes.
            step: Optimizer step, from 0.
        """
        import wandb

        with self._continuing("tables"):
            rows = [
                [name, *(record["class_iou"].get(name) for record in evaluations.values())]
                for name in class_names
            ]
            table = wandb.Table(columns=["class", *evaluations], data=rows)
            plots: dict[str, Any] = {
                f"eval/{mode}/confusion_matrix": confusion_plot(matrix, class_names, mode)
                if len(class_names) <= MOST_CLASSES
                else confusion_table(matrix, class_names)
                for mode, matrix in matrices.items()
            }
            self.experiment.log({"eval/class_iou": table, **plots, STEP: step})

    @rank_zero_only
    def log_report(self, path: Path) -> None:
        """Log report.html, if it is not too large.

        Args:
            path: Path of the report.
        """
        import wandb

        with self._continuing("report"):
            if (size := path.stat().st_size) > LARGEST_REPORT:
                announce(f"{path} ({size / 2**20:.0f} MiB) is too large for W&B")
                return
            # As text, which is copied: the file is replaced when the report is made again.
            self.experiment.log(
                {"report": wandb.Html(path.read_text("utf-8"), inject=False, data_is_not_path=True)}
            )

    @rank_zero_only
    def log_checkpoints(self, best: Path, last: Path) -> None:
        """Upload best.ckpt and last.ckpt as an artifact, once if they are of the same step.

        Args:
            best: Checkpoint with the highest validation mIoU.
            last: Checkpoint of the last step.
        """
        import wandb

        if not self.checkpoints:
            return
        name = re.sub(r"[^\w.-]", "-", self.folder.path.name)[:ARTIFACT_NAME]
        with self._continuing("checkpoints"):
            aliases: dict[int, tuple[Path, list[str]]] = {}
            for alias, path in (("best", best), ("last", last)):
                step = int(read_checkpoint(path)["global_step"])
                aliases.setdefault(step, (path, []))[1].append(alias)
            for step, (path, names) in aliases.items():
                artifact = wandb.Artifact(name, type="model", metadata={"step": step})
                artifact.add_file(str(path), name="model.ckpt")
                self.experiment.log_artifact(artifact, aliases=names)

    @rank_zero_only
    def finish(self, status: int, *, preempted: bool = False) -> None:
        """End the run, if it was begun.

        Args:
            status: Exit status of the process.
            preempted: Whether the job was stopped from outside, and may resume elsewhere.
        """
        run, self._experiment = self._experiment, None
        with self._continuing("end of the run"):
            if run is not None:
                run.summary.update(best_validation(self.folder.metrics))
                if preempted:
                    run.mark_preempting()
                run.finish(exit_code=status)
        for name in self._own_variables:
            os.environ.pop(name, None)
        self._own_variables.clear()

    @contextmanager
    def _continuing(self, what: str) -> Iterator[None]:
        """Report the first failure of each kind in W&B as a warning, and continue."""
        try:
            yield
        except Exception as error:
            if what not in self._told:
                announce(f"warning: W&B did not receive the {what} ({_in_short(error)})")
            self._told.add(what)


def run_id(name: str) -> str:
    """Id of a training in W&B: its fingerprint, with the suffix that `fresh=true` adds.

    Args:
        name: Name of the run folder, such as r18-gc-camvid-1200it-s0-1a2b3c4d.
    """
    match = re.search(r"-s\d+-([0-9a-f]{8}(?:-\d+)?)$", name)
    return match[1] if match else re.sub(r"[^\w.-]", "-", name)


def confusion_plot(matrix: Tensor, class_names: Sequence[str], mode: str) -> CustomChart:
    """Plot counts as W&B's own confusion matrix.

    Args:
        matrix: Confusion matrix, classes x classes, a row for each true class.
        class_names: Names of the classes.
        mode: Mode of test-time augmentation, for the title.
    """
    import wandb

    rows = [
        [true, predicted, count]
        for true, counts in zip(class_names, matrix.tolist(), strict=True)
        for predicted, count in zip(class_names, counts, strict=True)
    ]
    fields = ("Actual", "Predicted", "nPredictions")  # the names of the preset
    return wandb.plot_table(
        data_table=wandb.Table(columns=[*fields], data=rows),
        vega_spec_name="wandb/confusion_matrix/v1",
        fields={field: field for field in fields},
        string_fields={"title": f"Confusion matrix, {mode}"},
    )


def confusion_table(matrix: Tensor, class_names: Sequence[str]) -> Table:
    """Tabulate the most frequent confusions, for more classes than W&B plots.

    Args:
        matrix: Confusion matrix, classes x classes, a row for each true class.
        class_names: Names of the classes.
    """
    import wandb

    wrong = matrix.clone().fill_diagonal_(0)
    order = wrong.flatten().argsort(descending=True, stable=True)[:MOST_CONFUSIONS].tolist()
    cells = [divmod(place, len(class_names)) for place in order]
    rows = [
        [class_names[true], class_names[predicted], int(wrong[true, predicted])]
        for true, predicted in cells
        if wrong[true, predicted]
    ]
    return wandb.Table(columns=["Actual", "Predicted", "nPredictions"], data=rows)


def best_validation(metrics: Path) -> dict[str, float]:
    """Find the highest validation mIoU of a training and its step, for the run's summary.

    Read from metrics.csv, which includes steps before an interruption; empty before a validation.
    """
    steps, values = shown_curves(metrics.parent, only=["val/miou"]).get("val/miou", ([], []))
    if not steps:
        return {}
    best, step = max(zip(values, steps, strict=True), key=lambda one: one[0])
    return {"best/val_miou": best, "best/step": step - 1}


def _in_short(error: Exception) -> str:
    """Format an error as one line."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
