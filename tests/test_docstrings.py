"""The examples in docstrings run, and say what comes out."""

import doctest
import importlib

import pytest

MODULES = (
    "gcseg.data.folder",
    "gcseg.inference.predict",
    "gcseg.metrics.scores",
    "gcseg.models.builder",
    "gcseg.python.run",
    "gcseg.python.settings",
    "gcseg.weights.load",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    found = doctest.testmod(importlib.import_module(name))
    assert found.attempted and not found.failed
