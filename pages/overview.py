"""Overview: what is in the store."""

from autointerp.ui.overview_view import overview

overview()
