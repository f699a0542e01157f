"""Callbacks that run during a training or a prediction."""
