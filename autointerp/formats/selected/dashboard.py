"""The figures of a feature as SAEDashboard names them; Neuronpedia's export keeps the names."""

from typing import Any

from autointerp.formats.selected import records
from autointerp.formats.selected.records import Figures


def listed(row: dict[str, Any], name: str, where: str) -> list[float]:
    """A list of numbers. Raises UserError."""
    return records.numbers(row.get(name), f"{name} of {where}")


def figures(
    latent: int, row: dict[str, Any], largest: float | None, where: str, neighbours: list[tuple[int, float]] | None = None
) -> Figures:  # fmt: skip
    """What the row states of a latent. `largest`: its maximum; below 0 it is unknown. Raises UserError."""

    def tokens(side: str) -> list[tuple[str, float]]:
        names = records.texts(row.get(f"{side}_str"), f"{side}_str of {where}")
        return records.pairs(names, listed(row, f"{side}_values", where), f"{side}_str of {where}")

    return Figures(
        latent,
        density=records.fraction(row.get("frac_nonzero"), f"frac_nonzero of {where}"),
        maximum=None if largest is None or largest < 0 else largest,
        histogram=records.histogram(
            listed(row, "freq_hist_data_bar_values", where),
            listed(row, "freq_hist_data_bar_heights", where),
            f"the histogram of {where}",
        ),
        promoted=tokens("pos"),
        suppressed=tokens("neg"),
        neighbours=neighbours or [],
    )
