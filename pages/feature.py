"""Feature: everything about one feature."""

from autointerp.ui.router import show

show("feature")
