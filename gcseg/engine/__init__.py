"""Training and evaluation on Lightning: module, data, run folder, callbacks, loggers."""
