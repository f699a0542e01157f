"""Modes of test-time augmentation, in the order of tables, and what they are called there."""

from __future__ import annotations

MODE_TITLES = {"none": "plain", "flip": "flip", "msflip": "multi-scale + flip"}
"""The modes of published scores, as in conf/tta, with their titles."""

SHORT_MODE_TITLES = {**MODE_TITLES, "msflip": "ms+flip"}
"""The same for tables with a column for each mode and more."""
