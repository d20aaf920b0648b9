"""Settings: which store, and whether it is whole."""

from autointerp.ui.router import ensure_routed
from autointerp.ui.settings.page import settings_page

ensure_routed()
settings_page()
