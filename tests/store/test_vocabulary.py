"""Bytes to text: rows decode as their joined bytes do, whatever the tokenizer."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models

from autointerp.errors import CorpusError
from autointerp.store import Vocabulary, vocabulary_from_tokenizer
from tests.conftest import HOSTILE_PIECES

pieces = st.one_of(
    st.binary(max_size=6),
    st.text(max_size=4).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [*HOSTILE_PIECES, b"\xf0", b"\xf0\x9f\x98", b"\x80", b"\xe2\x82", b"\xac", b"\xef\xbf\xbd"]
    ),
)


@given(st.lists(pieces, min_size=1, max_size=12))
def test_joined_pieces_are_the_decoded_bytes(row: list[bytes]) -> None:
    vocabulary = Vocabulary(row)
    decoded = vocabulary.decode(range(len(row)))
    assert len(decoded) == len(row)
    assert "".join(decoded) == b"".join(row).decode("utf-8", errors="replace")
    assert vocabulary.decode_text(range(len(row))) == "".join(decoded)


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=10), st.data())
def test_valid_text_survives_any_cut(text: str, data: st.DataObject) -> None:
    joined = text.encode()
    cuts = sorted(data.draw(st.sets(st.integers(0, len(joined)))) | {0, len(joined)})
    row = [joined[a:b] for a, b in pairwise(cuts)] or [b""]
    decoded = Vocabulary(row).decode(range(len(row)))
    assert "".join(decoded) == text
    assert "\ufffd" not in "".join(decoded) or "\ufffd" in text


def test_split_character_stands_on_its_first_token() -> None:
    vocabulary = Vocabulary([b"a\xf0\x9f", b"", b"\x98\x80b", b"\x98"])
    assert vocabulary.decode([0, 1, 2]) == ["a\U0001f600", "", "b"]
    assert vocabulary.decode([0, 2]) == ["a\U0001f600", "b"]
    assert vocabulary.decode([3, 0]) == ["\ufffd", "a\ufffd"]
    assert vocabulary.text(0) == "a\ufffd"


@pytest.mark.parametrize("token", [-1, 4])
def test_ids_outside_are_named(token: int) -> None:
    with pytest.raises(CorpusError, match=f"token id {token} is outside the vocabulary of 4"):
        Vocabulary([b"a"] * 4).decode([0, token])


class FakeTokenizer:
    """As much of a transformers tokenizer as is read."""

    def __init__(self, names: list[str], decoder: object | None = None, added: tuple[str, ...] = ()):
        self._names = names
        self.added_tokens_decoder = {
            names.index(name): type("Added", (), {"content": name})() for name in added
        }
        self.all_special_ids = list(self.added_tokens_decoder)
        if decoder is not None:
            backend = Tokenizer(
                models.WordLevel({name: i for i, name in enumerate(names)}, unk_token=names[0])
            )
            backend.decoder = decoder
            self.backend_tokenizer = backend

    def get_vocab(self) -> dict[str, int]:
        return {name: index for index, name in enumerate(self._names)}


def test_byte_level_names() -> None:
    tokenizer = FakeTokenizer(
        ["<|end|>", "\u0120the", "\u00f0\u0141", "\u010a", "\u4e00"], decoders.ByteLevel(), added=("<|end|>",)
    )
    entries = vocabulary_from_tokenizer(tokenizer, size=7)
    assert [piece for _, piece, _ in entries] == [
        b"<|end|>",
        b" the",
        b"\xf0\x9f",
        b"\n",
        "\u4e00".encode(),
        b"",
        b"",
    ]
    assert [special for _, _, special in entries] == [True, False, False, False, False, True, True]


def test_every_byte_has_a_byte_level_name() -> None:
    from tokenizers.pre_tokenizers import ByteLevel

    names = sorted(ByteLevel.alphabet())
    entries = vocabulary_from_tokenizer(FakeTokenizer(names, decoders.ByteLevel()))
    assert sorted(piece for _, piece, _ in entries) == [bytes([byte]) for byte in range(256)]


@pytest.mark.parametrize(
    "decoder",
    [
        decoders.Metaspace(),
        decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]),
        None,
    ],
)
def test_sentencepiece_names(decoder: object | None) -> None:
    tokenizer = FakeTokenizer(["\u2581the", "<0xF0>", "<0xZZ>", "cat"], decoder)
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(tokenizer)] == [
        b" the",
        b"\xf0",
        b"<0xZZ>",
        b"cat",
    ]


def test_wordpiece_names() -> None:
    tokenizer = FakeTokenizer(["[CLS]", "cat", "##s"], decoders.WordPiece(), added=("[CLS]",))
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(tokenizer)] == [b"[CLS]", b" cat", b"s"]


def test_plain_names_and_lone_surrogates() -> None:
    assert [piece for _, piece, _ in vocabulary_from_tokenizer(FakeTokenizer(["a", "\ud800"]))] == [
        b"a",
        b"\xed\xa0\x80",
    ]
