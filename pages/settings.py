"""Settings: which store, and whether it is whole."""

from autointerp.ui.settings_view import settings_page

settings_page()
