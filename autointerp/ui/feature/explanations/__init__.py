"""The explanation side of the Feature page."""
