"""The stem and the stages of a backbone, in the order in which they run.

A backbone names them in an attribute `stages`: five sequences of modules, the stem's and then each
stage's, which together hold each of its parameters once. Without it the backbone can be frozen as a
whole only, and has no learning rates by depth.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from gcseg.errors import ConfigError

NAMES = ("stem", "stage1", "stage2", "stage3", "stage4")
"""Names of the stem and the stages."""

FREEZE: tuple[str | int, ...] = ("none", "stem", 1, 2, 3, 4, "all")
"""Values of `freeze`: nothing, the stem, the stem and the first 1 to 4 stages, or everything."""


def stages_of(backbone: nn.Module) -> tuple[tuple[nn.Module, ...], ...]:
    """Return the modules of the stem and of each of the four stages.

    Raises:
        ConfigError: If the backbone does not name them, or some parameters are in none of them or
            in several.
    """
    name = type(backbone).__name__
    stages: Any = getattr(backbone, "stages", None)
    if not _are_stages(stages):
        raise ConfigError(
            f"the backbone {name} does not say which modules are its stem and stages",
            "give it an attribute stages, of five tuples of modules; or leave backbone.freeze at "
            "none or all, and optim.layer_decay at 1",
        )
    found = [id(p) for stage in stages for module in stage for p in module.parameters()]
    own = [id(parameter) for parameter in backbone.parameters()]
    if sorted(found) != sorted(own):
        raise ConfigError(
            f"the stages of the backbone {name} have {len(found)} parameters, and it has "
            f"{len(own)}",
            "let its attribute stages name each module once",
        )
    return tuple(map(tuple, stages))


def _are_stages(stages: object) -> bool:
    return (
        isinstance(stages, Sequence)
        and len(stages) == len(NAMES)
        and all(isinstance(stage, Sequence) for stage in stages)
        and all(isinstance(module, nn.Module) for stage in stages for module in stage)
    )


def frozen_modules(backbone: nn.Module, freeze: str | int) -> tuple[nn.Module, ...]:
    """Return the modules that are not trained.

    Args:
        backbone: The backbone.
        freeze: One of `FREEZE`.

    Raises:
        ConfigError: See `stages_of`; only the whole backbone and none of it need no stages.
    """
    if freeze == "none":
        return ()
    if freeze == "all":
        return (backbone,)
    last = 0 if freeze == "stem" else int(freeze)
    return tuple(module for stage in stages_of(backbone)[: last + 1] for module in stage)
