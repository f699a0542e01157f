"""Workspace and report of a Weights & Biases project, for the metrics that gcseg logs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import wandb
import wandb_workspaces.expr as expr
import wandb_workspaces.reports.v2 as wr
import wandb_workspaces.workspaces as ws

from gcseg.engine.loggers.wandb import STEP
from gcseg.errors import ConfigError

CURVES = {
    "Loss": ("train/loss", "train/loss_main", "train/loss_branches", "train/loss_auxiliary"),
    "Learning rate": ("train/learning_rate",),
    "Gradient norm": ("train/gradient_norm",),
    "Images per second": ("train/images_per_second",),
    "Memory in bytes": ("train/memory_bytes",),
    "Validation mIoU": ("val/miou",),
    "Validation mean F1": ("val/mean_f1",),
    "Validation pixel accuracy": ("val/pixel_accuracy",),
}
"""Metrics logged in training, by title of their panel."""

SECONDS = 20
"""Time limit for an answer of W&B, in seconds."""

COLUMNS, ROWS = 24, 8
"""Width of a report, and height of a panel, in W&B's units."""


@dataclass(frozen=True)
class Dashboard:
    """Contents of a workspace and a report.

    Args:
        project: W&B project.
        entity: W&B user or team.
        name: Name of the workspace's view and of the report.
        modes: Modes of test-time augmentation; the first one's mIoU orders the runs.
        compare: Names of the settings to compare, such as optim.lr.
    """

    project: str
    entity: str
    name: str
    modes: Sequence[str]
    compare: Sequence[str]

    @property
    def score(self) -> str:
        """Name of the metric by which runs are ordered."""
        return f"eval/{self.modes[0]}/miou"


@dataclass(frozen=True)
class Topic:
    """Panels under one heading.

    Args:
        title: The heading.
        text: Description of the panels.
        panels: W&B panels.
        per_row: Number of panels side by side in a report.
    """

    title: str
    text: str
    panels: list[Any]
    per_row: int = 2

    def arranged(self) -> list[Any]:
        """Arrange the panels in rows."""
        width = COLUMNS // self.per_row
        for number, panel in enumerate(self.panels):
            row, column = divmod(number, self.per_row)
            panel.layout = wr.Layout(x=column * width, y=row * ROWS, w=width, h=ROWS)
        return self.panels


def topics(shown: Dashboard) -> list[Topic]:
    """All topics, in display order."""
    mode = shown.modes[0]
    confusion = wr.CustomChart(
        query={"summaryTable": {"tableKey": f"eval/{mode}/confusion_matrix_table"}},
        chart_name="wandb/confusion_matrix/v1",
        chart_fields={name: name for name in ("Actual", "Predicted", "nPredictions")},
        chart_strings={"title": f"Confusion matrix, {mode}"},
    )
    columns = [wr.ParallelCoordinatesPlotColumn(wr.Config(name)) for name in shown.compare]
    score = wr.ParallelCoordinatesPlotColumn(wr.SummaryMetric(shown.score), display_name="mIoU")
    miou = [f"eval/{mode}/miou" for mode in shown.modes]
    return [
        Topic(
            "Scores",
            "Of the best checkpoint over the whole validation split, by mode of test-time "
            "augmentation.",
            [wr.BarPlot(title="mIoU by test-time augmentation", metrics=miou, range_x=(0, 1))],
            per_row=1,
        ),
        Topic(
            "Curves",
            "By optimizer steps.",
            [wr.LinePlot(title=title, x=STEP, y=list(names)) for title, names in CURVES.items()],
        ),
        Topic(
            "Classes",
            "IoU of each class, at the end and during training.",
            [
                wr.WeavePanelSummaryTable(table_name="eval/class_iou"),
                wr.LinePlot(title="Validation IoU", x=STEP, metric_regex="val/iou/.*"),
            ],
        ),
        Topic("Confusions", "True classes against predicted ones, in pixels.", [confusion], 1),
        Topic(
            "Pictures",
            "The same validation images, with truth, prediction and errors as masks.",
            [wr.MediaBrowser(title="Panel", media_keys=["val/panel"], num_columns=2)],
            per_row=1,
        ),
        Topic(
            "Settings",
            "How mIoU depends on the settings of the trainings.",
            [
                wr.ParallelCoordinatesPlot(title="Settings and mIoU", columns=[*columns, score]),
                wr.ParameterImportancePlot(with_respect_to=shown.score),
            ],
            per_row=1,
        ),
    ]


def workspace(shown: Dashboard) -> ws.Workspace:
    """Build the view of the project's runs; panels of no section are shown below the sections."""
    return ws.Workspace(
        entity=shown.entity,
        project=shown.project,
        name=shown.name,
        sections=[
            ws.Section(name=one.title, panels=one.panels, is_open=True) for one in topics(shown)
        ],
        settings=ws.WorkspaceSettings(x_axis=STEP),
        runset_settings=ws.RunsetSettings(
            order=[expr.Ordering(expr.Summary(shown.score), ascending=False)]
        ),
        auto_generate_panels=True,
    )


def report(shown: Dashboard, *, online: bool) -> wr.Report:
    """Build the report, with a text for each topic.

    Args:
        shown: Contents of the report.
        online: Whether to ask the server for the id of the project; without it the runs are those
            of the project that the report is in.
    """
    blocks: list[Any] = [wr.TableOfContents()]
    for one in topics(shown):
        runs = wr.Runset(
            entity=shown.entity if online else "",
            project=shown.project if online else "",
            order=[wr.OrderBy(wr.SummaryMetric(shown.score), ascending=False)],
        )
        grid = wr.PanelGrid(runsets=[runs], panels=one.arranged())
        blocks += [wr.H2(one.title), wr.P(one.text), grid]
    return wr.Report(
        entity=shown.entity,
        project=shown.project,
        title=shown.name,
        description="Trainings of gcseg.",
        blocks=blocks,
        width="fluid",
    )


def definitions(shown: Dashboard) -> dict[str, Any]:
    """Build workspace and report in W&B's format, without contacting it."""
    models = {
        "workspace": workspace(shown)._to_model(),
        "report": report(shown, online=False)._to_model(),
    }
    return {
        name: json.loads(model.model_dump_json(by_alias=True)) for name, model in models.items()
    }


def save(shown: Dashboard) -> dict[str, str]:
    """Save workspace and report to W&B.

    Returns:
        URLs by name, `workspace` and `report`.

    Raises:
        ConfigError: W&B refuses, or can't be reached.
    """
    try:
        found = {"workspace": workspace(shown).save().url}
        return {**found, "report": report(shown, online=True).save().url}
    except Exception as error:  # an error of W&B, of the network or of the library
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"W&B refuses project={shown.project} entity={shown.entity} ({reason})",
            "check both, the key and the network",
        ) from error


def default_entity() -> str:
    """Look up your default entity in W&B.

    Raises:
        ConfigError: W&B refuses, or can't be reached.
    """
    try:
        return str(wandb.Api(timeout=SECONDS).default_entity)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise ConfigError(
            f"W&B refuses ({reason})", "check key and network, or give entity="
        ) from error
