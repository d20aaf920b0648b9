"""A feature browser for sparse autoencoders and transcoders.

The library under the app: `models` runs subject models and sparse coders, `caching` writes what fires where, `store`
keeps it, `sampling` picks the examples. Nothing heavy is imported here; import the stage you need.
"""

__version__ = "0.1.0"
