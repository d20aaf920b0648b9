"""Feature: the page people live in."""

from autointerp.ui.feature.page import feature
from autointerp.ui.router import ensure_routed

ensure_routed()
feature()
