"""Exports: a trained network in other programs' formats, with a record of what it is."""
