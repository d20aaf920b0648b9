"""Features: the list, its filters and its search."""

from autointerp.ui.router import show

show("features")
