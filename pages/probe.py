"""Probe: type a text, see which features fire on it."""

from autointerp.ui.probe_view import probe
from autointerp.ui.router import ensure_routed

ensure_routed()
probe()
