"""Jobs: what is running, waiting or done, and how to start more."""

from autointerp.ui.router import show

show("jobs")
