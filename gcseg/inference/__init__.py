"""Prediction of scores for images: whole, by sliding window, augmented, in strips."""
