"""The app's router: page frame and navigation. Run it with `autointerp serve`, or `streamlit run app.py`."""

import streamlit as st

from autointerp.ui.components import icon
from autointerp.ui.session import freeze_imports

st.set_page_config(page_title="autointerp", page_icon=icon(), layout="wide")
page = st.navigation(
    [
        st.Page("pages/overview.py", title="Overview", icon=":material/dashboard:", default=True),
        st.Page(
            "pages/features.py", title="Features", icon=":material/format_list_bulleted:", url_path="features"
        ),
        st.Page(
            "pages/feature.py", title="Feature", icon=":material/center_focus_strong:", url_path="feature"
        ),
        st.Page("pages/settings.py", title="Settings", icon=":material/settings:", url_path="settings"),
    ],
    position="top",
)
freeze_imports()
page.run()
