"""Decoded pictures and labels, kept on disk or in memory for the next epochs."""
