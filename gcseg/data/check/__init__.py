"""Checks that find errors and oddities in a dataset."""
