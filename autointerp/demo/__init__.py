"""The demo: text every installation already has, and the store built from it."""
