"""gcseg from Python: settings, trainings, evaluations and sweeps as functions.

The functions are those of the package: `gcseg.compose`, `gcseg.train` and so on. They do what the
commands do, with the same names of runs, so that either continues what the other has begun.
"""
