"""Jobs: what runs, waits or ran, and how to start more."""

from autointerp.ui.jobs.page import jobs_page
from autointerp.ui.router import ensure_routed

ensure_routed()
jobs_page()
