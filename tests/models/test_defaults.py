"""The defaults of networks stand in the constructors; whoever repeats them says the same."""

import inspect

from gcseg.models import FCNHead, gcnet
from gcseg.models.defaults import DEFAULTS


def defaults(function):
    parameters = inspect.signature(function).parameters.values()
    return {one.name: one.default for one in parameters if one.default is not one.empty}


def test_those_of_gcnet():
    ours = defaults(gcnet)
    usual = {**DEFAULTS["backbone"], **DEFAULTS["head"]}
    assert {name: ours[name] for name in usual} == usual
    shared = {
        name: value for name, value in DEFAULTS["auxiliary_head"].items() if value is not None
    }
    assert {name: ours[name] for name in shared} == shared


def test_those_of_the_head_without_context():
    ours = {name: value for name, value in defaults(FCNHead).items() if name != "context"}
    assert ours == {name: DEFAULTS["head"][name] for name in ours}
