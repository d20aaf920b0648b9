"""Audit: explanations judged by hand, and what that is worth."""

from autointerp.ui.router import show

show("audit")
