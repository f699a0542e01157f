"""python -m gcseg.demo: a page in the browser to try a trained network on pictures and videos."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from gcseg.config.plain import plain
from gcseg.config.trained import CheckpointRef, composed_for_checkpoint, run_with_checkpoint
from gcseg.errors import ConfigError
from gcseg.runs.name import backbone_name, head_name
from gcseg.system.signals import interrupted_by_sigterm
from gcseg.system.text import as_override, say

if TYPE_CHECKING:
    from gcseg.demo_page.shown import Shown

_OF_BOTH = ("accelerator", "precision", "channels_last", "trust")
"""Settings that hold for the second checkpoint too; all others are those of its training."""


def demo(cfg: DictConfig, trained: CheckpointRef) -> None:
    """Serve the page until Ctrl-C or SIGTERM.

    Raises:
        GcsegError: A setting or a checkpoint is wrong, or the address can't be used.
    """
    # Heavy imports wait until the settings are known to be right.
    from gcseg.demo_page.page import Limits, Page
    from gcseg.demo_page.server import listen

    networks = [_shown(cfg, trained)]
    if cfg.compare is not None:
        networks.append(_shown(*_other(cfg)))
    networks = _in_common_modes(networks)
    page = Page(networks, Limits(cfg.megapixels, cfg.frames))
    try:
        with interrupted_by_sigterm(), listen(page, cfg.host, cfg.port) as server:
            if not server.is_loopback:
                say(f"host={cfg.host}: everyone who reaches this machine can use the page")
            say(f"page: {server.url} (Ctrl-C ends it)")
            server.serve_forever()
    except KeyboardInterrupt:
        say("the page is closed")
    finally:
        if not page.close():  # a thread in a library can't be ended, and would outlive the command
            sys.stdout.flush()
            os._exit(0)


def _other(cfg: DictConfig) -> tuple[DictConfig, CheckpointRef]:
    """Compose the settings of the checkpoint of `compare=`.

    Raises:
        ConfigError: It can't be shown by these settings.
        WeightsError: It does not exist or does not show its network.
    """
    values = plain(cfg)
    arguments = [as_override("checkpoint", cfg.compare)]
    arguments += [f"{name}={str(values[name]).lower()}" for name in _OF_BOTH]
    return composed_for_checkpoint("demo", arguments, needs_data=False)


def _shown(cfg: DictConfig, trained: CheckpointRef) -> Shown:
    """Build the network of a checkpoint in all modes that it has."""
    from gcseg.builders.data import picture_format
    from gcseg.demo_page.shown import Shown
    from gcseg.exports.reading import read_trained
    from gcseg.predictor.build import predicted_classes, trained_networks

    path = trained.path()
    content = read_trained(path, cfg.weights)
    if (content.extra.get("gcseg") or {}).get("export", {}).get("output") == "labels":
        say(f"{path} gives labels, of which no mean can be taken: it is shown with tta=none alone")
        cfg.tta.modes = {"none": {"scales": [1.0], "flip": False}}
    space = predicted_classes(content, cfg.dataset.name)
    networks = trained_networks(cfg, content, path, space)
    return Shown(_title(str(trained.checkpoint), path), _about(cfg), networks, picture_format(cfg))


def _title(given: str, path: Path) -> str:
    """Return a name for a checkpoint: of its run folder, or of its file, as it was given."""
    name = Path(given).resolve().name if Path(given).exists() else given
    return name if path.name == name or path.stem == "best" else f"{name} ({path.name})"


def _about(cfg: DictConfig) -> str:
    network = f"head {head_name(cfg.head)}, backbone {backbone_name(cfg.backbone)}"
    return f"{network}, trained on {cfg.dataset.name}"


def _in_common_modes(networks: list[Shown]) -> list[Shown]:
    """Keep the modes that all networks have.

    Raises:
        ConfigError: There are none.
    """
    modes = [name for name in networks[0].networks if all(name in one.networks for one in networks)]
    if not modes:
        raise ConfigError("the two checkpoints share no mode", "leave tta= out")
    return [replace(one, networks={name: one.networks[name] for name in modes}) for one in networks]


def main() -> None:
    """Serve a page to try a trained network."""
    run_with_checkpoint("demo", demo, needs_data=False)
