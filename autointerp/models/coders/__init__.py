"""Sparse coders, a file a format."""
