"""The app's entry point, run with `autointerp serve` or `streamlit run app.py`. The server imports it, and every run of a page
executes it."""

import streamlit as st

from autointerp.ui import asked, dialogs, router
from autointerp.ui.shared import roles

if __name__ == "__main__":
    router.run()
else:
    roles.settle()
    app = st.App(__file__, middleware=(*roles.MIDDLEWARE, *asked.MIDDLEWARE, *dialogs.MIDDLEWARE))
