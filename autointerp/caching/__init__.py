"""Caching: run a subject model over text and store what the latents of its sparse coders fire on."""

from autointerp.caching.run import cache

__all__ = ["cache"]
