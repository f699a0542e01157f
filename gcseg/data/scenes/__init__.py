"""Drawn street scenes with Cityscapes classes: the default dataset, and the tests' fixture."""

from gcseg.data.scenes.draw import draw_scene
from gcseg.data.scenes.write import write_scenes

__all__ = ["draw_scene", "write_scenes"]
