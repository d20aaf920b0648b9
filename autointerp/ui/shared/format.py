"""Numbers as text, the same on every page: percentages, scientific form when tiny, a minus sign that is one, and none on a
zero."""

import math

NONE = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _fixed(value: float, digits: int, form: str = "") -> str:
    """A fixed number of decimals; what rounds to zero has no sign."""
    text = f"{value:{form}.{digits}f}"
    return text.replace("-", "−") if text.strip("+-0.,") else text.lstrip("+-")


def scientific(value: float, digits: int = 1) -> str:
    """`1.2×10⁻⁵`."""
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    return f"{mantissa.replace('-', '−')}×10{str(int(exponent)).translate(_SUPERSCRIPT)}"


def density(fraction: float | None) -> str:
    """A fraction in [0, 1] as a percentage; in scientific form below 0.01 %."""
    if fraction is None or math.isnan(fraction):
        return NONE
    percent = 100 * fraction
    if percent == 0:
        return "0 %"
    if percent < 0.01:
        return f"{scientific(percent)} %"
    return f"{percent:.{3 if percent < 1 else 2 if percent < 10 else 1}f} %"


def share(fraction: float | None) -> str:
    """A fraction in [0, 1] as a whole percentage; `<1 %` rather than a zero that is none, `>99 %` rather than a whole that
    is not."""
    if fraction is None or math.isnan(fraction):
        return NONE
    if 0 < fraction < 0.005:
        return "<1 %"
    if 0.995 <= fraction < 1:
        return ">99 %"
    return f"{100 * fraction:,.0f} %"


def share_of(value: float, maximum: float) -> str:
    """An activation as a share of the feature's maximum."""
    return share(value / maximum) if maximum > 0 else NONE


def activation(value: float | None) -> str:
    """An activation for reading (two decimals, more when small); `exact` gives all digits."""
    if value is None or math.isnan(value):
        return NONE
    if value != 0 and abs(value) < 0.01:
        return scientific(value)
    return _fixed(value, 2, ",")


def exact(value: float) -> str:
    """All digits of a float16 value: shortest text that reads back the same as float32."""
    import numpy as np

    return np.format_float_positional(np.float32(value) + np.float32(0), trim="-").replace("-", "−")


def signed(value: float | None, digits: int = 2) -> str:
    """With its sign always shown: `+0.31`, `−1.20`; what rounds to zero has none."""
    if value is None or math.isnan(value):
        return NONE
    return _fixed(value, digits, "+")


def decimal(value: float | None, digits: int = 3) -> str:
    """A fixed number of decimals."""
    if value is None or math.isnan(value):
        return NONE
    return _fixed(value, digits)


def probability(value: float | None, threshold: float = 0.5) -> str:
    """Two decimals, or as many more as tell it from the threshold: `0.50` is on neither side of one half."""
    if value is None or math.isnan(value):
        return NONE
    digits = next((n for n in range(2, 7) if round(value, n) != threshold), 2)
    return _fixed(value, digits)


def count(value: int | None) -> str:
    """Thousands separated: `1,234,567`."""
    return NONE if value is None else f"{value:,}"


def plural(value: int, noun: str) -> str:
    """`1 context`, `2 contexts`."""
    return f"{count(value)} {noun}" if value == 1 else f"{count(value)} {noun}s"


def short_count(value: int) -> str:
    """`1.2 M`, `12 k`, `950`."""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            scaled = value / limit
            return f"{scaled:.1f} {unit}" if scaled < 10 else f"{scaled:.0f} {unit}"
    return str(value)


def money(value: float | None) -> str:
    """`0.00012`, `0.034`, `1.20`: two significant digits when small."""
    if value is None:
        return "unknown"
    if value == 0:
        return "0.00"
    if value < 0.0001:
        return scientific(value)
    if value < 0.1:
        return f"{value:.{4 if value < 0.01 else 3}f}"
    return f"{value:,.2f}"


def size(n_bytes: int) -> str:
    """`4.2 MB`, powers of ten."""
    for limit, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if n_bytes >= limit:
            return f"{n_bytes / limit:.1f} {unit}"
    return f"{n_bytes} B"


def minute(stamp: str | None) -> str:
    """A stored time (ISO, UTC) to the minute: `2026-11-20 10:00`."""
    return (stamp or NONE)[:16].replace("T", " ")


def second(stamp: str | None) -> str:
    """The same to the second."""
    return (stamp or NONE)[:19].replace("T", " ")
