import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from autointerp.ui.shared.text import plain, quoted, sentence, visible

ANY_TEXT = st.text(st.characters(), max_size=12)  # surrogates and controls included


def test_plain_ascii_is_untouched():
    assert visible("</span><script>`$x$`&amp;") == "</span><script>`$x$`&amp;"
    assert visible("a\n\tb ") == "a\n\tb "


def test_invisible_characters_become_symbols():
    assert visible("\x00") == "␀"
    assert visible("\x1b[0m") == "␛[0m"
    assert visible("\x7f") == "␡"
    assert visible("\u202e") == "⟨202E⟩"
    assert visible("\ufeff") == "⟨FEFF⟩"
    assert visible("\u2028") == "⟨2028⟩"
    assert visible("\ud800") == "\ufffd"
    assert visible("\u0301") == "\u25cc\u0301"


def test_joiners_stay_inside_longer_tokens():
    family = "👩\u200d💻"
    assert visible(family) == family
    assert visible("\u200d") == "⟨200D⟩"


@given(ANY_TEXT)
def test_what_is_shown_is_encodable_and_reorders_nothing(text):
    shown = visible(text)
    shown.encode("utf-8")
    for char in shown:
        assert char in "\n\t" or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}
        assert unicodedata.bidirectional(char) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
            "PDI",
        }


def test_quoted_is_one_line_and_never_empty():
    assert quoted(" ") == "␣"
    assert quoted("\n\n") == "↵↵"
    assert quoted("") == "∅"
    assert quoted(" the") == " the"


def test_plain_escapes_markdown():
    assert plain("a_b") == "a\\_b"
    assert plain("![x](http://h)") == "\\!\\[x\\]\\(http\\:\\/\\/h\\)"
    assert plain("one\ntwo") == "one two"
    assert plain("x" * 400, 10) == "x" * 9 + "…"


def test_an_error_begins_as_a_sentence_and_names_stay_as_they_are():
    assert sentence("no store at x") == "No store at x"
    assert sentence(ValueError("the expression '[' is not accepted")).startswith("The expression")
    assert sentence("sae has no feature 9") == "sae has no feature 9"
    assert sentence("http://localhost/v1 <b>") == "http\\:\\/\\/localhost\\/v1 \\<b\\>"
    assert len(sentence("no " * 200, 20)) <= 20
