"""Plugin through which Hydra finds gcseg's launcher for one machine."""
