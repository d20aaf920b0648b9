"""Vectors of windows and of texts."""
