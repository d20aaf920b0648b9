"""Compare: several coders side by side, and which features of one are in another."""

from autointerp.ui.router import show

show("compare")
