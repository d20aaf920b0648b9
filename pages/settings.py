"""Settings: the store, the language model, the embedder."""

from autointerp.ui.router import show

show("settings")
