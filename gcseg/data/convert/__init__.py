"""Conversion between annotation formats and the layout of `dataset=folder`."""
