"""The pairs of colours that the themes put on one another: 4.5 : 1 at least."""

import re
import tomllib
from pathlib import Path

import pytest

from autointerp.ui.shared import charts

CONFIG = Path(__file__).resolve().parents[2] / ".streamlit" / "config.toml"
THEMES = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]
UI = Path(charts.__file__).resolve().parents[1]
LEAST = 4.5
TINT = 0.1
"""How much of the accent Streamlit mixes into the ground of what is chosen."""
Colour = tuple[float, float, float]


def rgb(name: str) -> Colour:
    red, green, blue = (int(name[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return red, green, blue


def luminance(colour: Colour) -> float:
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: Colour, second: Colour) -> float:
    dark, light = sorted((luminance(first), luminance(second)))
    return (light + 0.05) / (dark + 0.05)


def over(top: Colour, share: float, below: Colour) -> Colour:
    red, green, blue = (share * a + (1 - share) * b for a, b in zip(top, below, strict=True))
    return red, green, blue


@pytest.mark.parametrize("name", ["light", "dark"])
def test_texts_can_be_told_from_their_grounds(name: str):
    theme = {key: rgb(value) for key, value in THEMES[name].items() if isinstance(value, str)}
    ground, panel, accent = (
        theme[key] for key in ("backgroundColor", "secondaryBackgroundColor", "primaryColor")
    )
    pairs = {
        "text": (theme["textColor"], ground),
        "text on a field": (theme["textColor"], panel),
        "link": (theme["linkColor"], ground),
        "code": (theme["codeTextColor"], theme["codeBackgroundColor"]),
        "what is chosen": (accent, over(accent, TINT, ground)),
        "chart": (rgb(charts.ink(name)), ground),
    }
    faint = {
        pair: round(contrast(*colours), 2) for pair, colours in pairs.items() if contrast(*colours) < LEAST
    }
    assert not faint


@pytest.mark.parametrize("filled", ['type="primary"', "multiselect("])
def test_nothing_is_filled_with_the_accent(filled: str):
    """White on it would be too faint in the dark, and Streamlit writes in white there."""
    using = [path.name for path in UI.rglob("*.py") if filled in path.read_text(encoding="utf-8")]
    assert not using


def test_contrast_is_what_it_is():
    assert contrast(rgb("#000000"), rgb("#ffffff")) == pytest.approx(21)
    assert contrast(rgb("#4b73e5"), rgb("#ffffff")) == pytest.approx(4.30, abs=0.01)


def test_the_name_of_an_open_popover_can_be_read():
    """Streamlit darkens the accent for it, on the dark theme's ground to 2 : 1, where its button has no frame."""
    faint = re.compile(r'popover\([^)]*type="tertiary"')
    assert [file.name for file in UI.rglob("*.py") if faint.search(file.read_text(encoding="utf-8"))] == []
