"""Overview: what is in the store."""

from autointerp.ui.overview.page import overview
from autointerp.ui.router import ensure_routed

ensure_routed()
overview()
