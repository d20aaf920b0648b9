"""The quantiles that a store holds of a latent, as SQL gives them."""

import numpy as np

from autointerp.store import Store


def quantile_edges(store: Store, coder: str, latent: int) -> np.ndarray:
    """Float32[ndarray, "10 2"]: lowest and highest window maximum, row 0 = strongest; NaN where a quantile is empty."""
    rows = store.sql(
        f'SELECT quantile, low, high FROM "{coder}".quantiles WHERE latent = {latent}'
    ).to_pydict()
    edges = np.full((10, 2), np.nan, dtype=np.float32)
    edges[rows["quantile"]] = np.array([rows["low"], rows["high"]]).reshape(2, -1).T
    return edges
