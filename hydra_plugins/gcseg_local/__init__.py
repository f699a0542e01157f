"""Hydra's way to gcseg's launcher for one machine."""
