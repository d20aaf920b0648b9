import numpy as np
import pytest

from autointerp.ui.shared import format as fmt


@pytest.mark.parametrize(
    ("fraction", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100.0 %"),
        (0.25, "25.0 %"),
        (0.0123, "1.23 %"),
        (0.00123, "0.123 %"),
        (0.0001, "0.010 %"),
        (0.000099, "9.9×10⁻³ %"),
        (1e-8, "1.0×10⁻⁶ %"),
        (None, "–"),
        (float("nan"), "–"),
    ],
)
def test_density_is_a_percentage_and_scientific_below_a_hundredth(fraction, text):
    assert fmt.density(fraction) == text


def test_share_never_shows_zero_for_something():
    assert fmt.share(0.0) == "0 %"
    assert fmt.share(0.001) == "<1 %"
    assert fmt.share(0.314) == "31 %"
    assert fmt.share(1535 / 1536) == ">99 %"
    assert fmt.share(1.0) == "100 %"
    assert fmt.share(22.75) == "2,275 %"  # a coder that is worse than nothing


def test_activation_and_exact():
    assert fmt.activation(12.345) == "12.35" or fmt.activation(12.345) == "12.34"
    assert fmt.activation(1234.5) == "1,234.50"
    assert fmt.activation(0.0005) == "5.0×10⁻⁴"
    assert fmt.activation(0.0) == "0.00"
    value = np.float16(3.1415)
    assert float(fmt.exact(float(value))) == float(value)


def test_signs_are_typographic_and_always_there():
    assert fmt.signed(0.5) == "+0.50"
    assert fmt.signed(-0.5, 3) == "−0.500"
    assert fmt.signed(None) == "–"


@pytest.mark.parametrize("value", [-0.0, -0.004, -1e-9])
def test_no_zero_is_negative(value: float):
    assert fmt.decimal(value, 2) == "0.00"
    assert fmt.signed(value) == "0.00"
    assert fmt.signed(-value) == "0.00"
    assert fmt.activation(-0.0) == "0.00"
    assert fmt.exact(-0.0) == "0"
    assert fmt.signed(-0.006) == "−0.01"


def test_a_probability_is_on_one_side_of_one_half():
    shown = [fmt.probability(value) for value in (0.2, 0.4999, 0.5, 0.50001, 0.995, None)]
    assert shown == ["0.20", "0.4999", "0.50", "0.50001", "0.99", "–"]


def test_counts_sizes_and_plurals():
    assert fmt.count(1234567) == "1,234,567"
    assert fmt.count(None) == "–"
    assert fmt.short_count(999) == "999"
    assert fmt.short_count(1_250_000) == "1.2 M"
    assert fmt.short_count(12_000) == "12 k"
    assert fmt.plural(1, "context") == "1 context"
    assert fmt.plural(2000, "context") == "2,000 contexts"
    assert fmt.size(950) == "950 B"
    assert fmt.size(4_200_000) == "4.2 MB"
