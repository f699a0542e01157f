"""Folders of a trained network that others can use and verify."""
