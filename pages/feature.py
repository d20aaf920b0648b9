"""Feature: the page people live in."""

from autointerp.ui.feature_view import feature

feature()
