"""Modes of test-time augmentation and their titles, in the order of tables."""

from __future__ import annotations

MODE_TITLES = {"none": "plain", "flip": "flip", "msflip": "multi-scale + flip"}
"""Titles of the modes of published scores, by their names in conf/tta."""

SHORT_MODE_TITLES = {**MODE_TITLES, "msflip": "ms+flip"}
"""Shorter titles, for tables with a column for each mode and more."""
