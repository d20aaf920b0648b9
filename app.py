"""The app's entry point: page frame and navigation. Run it with `autointerp serve`, or `streamlit run app.py`."""

from autointerp.ui import router

router.run()
