"""Overview: what is in the store."""

from autointerp.ui.router import show

show("overview")
