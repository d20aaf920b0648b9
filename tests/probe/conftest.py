"""The tiny model, coders and cached store of the caching tests, and one prober over them."""

import pytest

from autointerp.probe import Prober
from autointerp.store import Store
from tests.caching.conftest import Lab, lab, store, subject

__all__ = ["Lab", "lab", "prober", "store", "subject"]


@pytest.fixture(scope="session")
def prober(store: Store) -> Prober:
    return Prober(store)
