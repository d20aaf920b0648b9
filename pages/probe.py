"""Probe: type a text, see which features fire on it."""

from autointerp.ui.probe.page import probe
from autointerp.ui.router import ensure_routed

ensure_routed()
probe()
