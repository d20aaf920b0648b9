"""Features: the list, its filters and its search."""

from autointerp.ui.features_view import features

features()
