"""Caching: run a subject model over text and store the activations of its sparse coders."""

from autointerp.caching.run import cache

__all__ = ["cache"]
