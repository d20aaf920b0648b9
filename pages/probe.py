"""Probe: which features fire on a text that you type."""

from autointerp.ui.router import show

show("probe")
