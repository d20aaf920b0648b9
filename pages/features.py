"""Features: the list, its filters and its search."""

from autointerp.ui.features.page import features
from autointerp.ui.router import ensure_routed

ensure_routed()
features()
