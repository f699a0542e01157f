"""Prediction of any images by a trained network."""
