"""Decoded pictures and labels that are kept for the next epoch: on disk or in memory."""
